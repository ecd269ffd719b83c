-- The same functions, with the same signatures, as contrib/uuid-ossp 1.1: a dump of either can be restored into the other.
-- Only pg_catalog is used, whatever search_path the caller has. Numbers and layouts are those of RFC 9562.

\echo Use "CREATE EXTENSION ""uuid-ossp""" to load this file. \quit

CREATE FUNCTION uuid_nil() RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN '00000000-0000-0000-0000-000000000000'::uuid;

CREATE FUNCTION uuid_ns_dns() RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN '6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid;

CREATE FUNCTION uuid_ns_url() RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN '6ba7b811-9dad-11d1-80b4-00c04fd430c8'::uuid;

CREATE FUNCTION uuid_ns_oid() RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN '6ba7b812-9dad-11d1-80b4-00c04fd430c8'::uuid;

CREATE FUNCTION uuid_ns_x500() RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN '6ba7b814-9dad-11d1-80b4-00c04fd430c8'::uuid;

CREATE FUNCTION uuid_generate_v4() RETURNS uuid
LANGUAGE sql VOLATILE STRICT PARALLEL SAFE
RETURN pg_catalog.gen_random_uuid();

-- Version 1 is 100 ns ticks since 1582, a clock sequence and a node. The clock here has microseconds; the last digit and the
-- clock sequence are random, so that two calls in one microsecond differ. `node` is six bytes as 12 hexadecimal digits.
--
-- The sandbox knows no network card. As the RFC says for that case, the node is random with the multicast bit set, and stays
-- the same for a session.
CREATE FUNCTION uuid_generate_v1() RETURNS uuid
LANGUAGE plpgsql VOLATILE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    random bytea := uuid_send(gen_random_uuid());
    ticks text := to_hex(
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 10 + get_byte(random, 0) % 10 + 122192928000000000
    );
    sequence int := 32768 | ((get_byte(random, 1) & 63) << 8) | get_byte(random, 2);
    session bytea := decode(
        md5(pg_postmaster_start_time()::text || '/' || pg_backend_pid()::text || '/' || current_database()), 'hex'
    );
    node text := encode(substr(set_byte(session, 0, get_byte(session, 0) | 1), 1, 6), 'hex');
BEGIN
    ticks := lpad(ticks, 15, '0');
    RETURN (substr(ticks, 8) || substr(ticks, 4, 4) || '1' || substr(ticks, 1, 3) || to_hex(sequence) || node)::uuid;
END
$$;

CREATE FUNCTION uuid_generate_v1mc() RETURNS uuid
LANGUAGE plpgsql VOLATILE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    random bytea := uuid_send(gen_random_uuid());
    ticks text := to_hex(
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 10 + get_byte(random, 0) % 10 + 122192928000000000
    );
    sequence int := 32768 | ((get_byte(random, 1) & 63) << 8) | get_byte(random, 2);
    node text := encode(substr(set_byte(random, 10, get_byte(random, 10) | 1), 11, 6), 'hex');
BEGIN
    ticks := lpad(ticks, 15, '0');
    RETURN (substr(ticks, 8) || substr(ticks, 4, 4) || '1' || substr(ticks, 1, 3) || to_hex(sequence) || node)::uuid;
END
$$;

CREATE FUNCTION uuid_generate_v3(namespace uuid, name text) RETURNS uuid
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hash bytea := decode(md5(uuid_send(namespace) || convert_to(name, getdatabaseencoding())), 'hex');
BEGIN
    hash := set_byte(hash, 6, (get_byte(hash, 6) & 15) | 48);
    RETURN encode(set_byte(hash, 8, (get_byte(hash, 8) & 63) | 128), 'hex')::uuid;
END
$$;

-- SHA-1 (FIPS 180-4) stands here because SQL has none without pgcrypto, which need not be installed beside this.
CREATE FUNCTION uuid_generate_v5(namespace uuid, name text) RETURNS uuid
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    mask CONSTANT bigint := 4294967295;
    message bytea := uuid_send(namespace) || convert_to(name, getdatabaseencoding());
    bits bigint := octet_length(message)::bigint * 8;
    h0 bigint := 1732584193;
    h1 bigint := 4023233417;
    h2 bigint := 2562383102;
    h3 bigint := 271733878;
    h4 bigint := 3285377520;
    a bigint; b bigint; c bigint; d bigint; e bigint;
    f bigint; k bigint; x bigint;
    w bigint[];
    hash bytea;
    start int := 0;
BEGIN
    message := message || '\x80'::bytea;
    message := message || decode(repeat('00', (120 - octet_length(message) % 64) % 64), 'hex') || int8send(bits);
    WHILE start < octet_length(message) LOOP
        w := array_fill(0::bigint, ARRAY[80]);
        FOR i IN 1..16 LOOP
            w[i] := (get_byte(message, start + 4 * i - 4)::bigint << 24) | (get_byte(message, start + 4 * i - 3) << 16)
                | (get_byte(message, start + 4 * i - 2) << 8) | get_byte(message, start + 4 * i - 1);
        END LOOP;
        FOR i IN 17..80 LOOP
            x := w[i - 3] # w[i - 8] # w[i - 14] # w[i - 16];
            w[i] := ((x << 1) & mask) | (x >> 31);
        END LOOP;
        a := h0; b := h1; c := h2; d := h3; e := h4;
        FOR i IN 1..80 LOOP
            IF i <= 20 THEN
                f := (b & c) | ((mask # b) & d); k := 1518500249;
            ELSIF i <= 40 THEN
                f := b # c # d; k := 1859775393;
            ELSIF i <= 60 THEN
                f := (b & c) | (b & d) | (c & d); k := 2400959708;
            ELSE
                f := b # c # d; k := 3395469782;
            END IF;
            x := ((((a << 5) & mask) | (a >> 27)) + f + e + k + w[i]) & mask;
            e := d; d := c; c := ((b << 30) & mask) | (b >> 2); b := a; a := x;
        END LOOP;
        h0 := (h0 + a) & mask; h1 := (h1 + b) & mask; h2 := (h2 + c) & mask; h3 := (h3 + d) & mask; h4 := (h4 + e) & mask;
        start := start + 64;
    END LOOP;
    hash := substr(int8send((h0 << 32) | h1) || int8send((h2 << 32) | h3), 1, 16);
    hash := set_byte(hash, 6, (get_byte(hash, 6) & 15) | 80);
    RETURN encode(set_byte(hash, 8, (get_byte(hash, 8) & 63) | 128), 'hex')::uuid;
END
$$;
