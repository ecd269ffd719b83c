-- depends: 0002.rollouts

-- What a candidate had done when it was taken back: requests that failed, lines of its log. Secrets are masked.
ALTER TABLE rollouts ADD COLUMN evidence jsonb;
