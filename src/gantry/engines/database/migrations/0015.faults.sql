-- depends: 0014.certificate-attempts

-- Why an instance was last started again for a fault of its own, and when. `restarts` counts such ends alone from here on.
ALTER TABLE instances ADD COLUMN last_fault text NOT NULL DEFAULT '';
ALTER TABLE instances ADD COLUMN last_fault_at timestamptz;
UPDATE instances SET restarts = 0;
