-- Uids of old epochs, close together (docs/decisions/0021): the table that is written holds those of the last weeks.

ALTER TABLE uid_epoch
    ADD COLUMN packing_since timestamptz,               -- from here on some of its uids stand in uid_run …
    ADD COLUMN pruned_at     timestamptz,               -- … and from here on all of them: none in item_uid
    ADD COLUMN pruned_uids   bigint NOT NULL DEFAULT 0; -- how many

-- A run: neighbours in the order of uids. Each uid of an ended epoch stands in item_uid or in one run, never in both.
CREATE TABLE uid_run (
    epoch      smallint NOT NULL,
    first_uid  uuid NOT NULL,
    uids       uuid[] NOT NULL,                         -- ascending
    times      timestamptz[] NOT NULL,                  -- as item_uid.measured_at, for each
    identities uuid[] NOT NULL,                         -- as item_uid.identity, for each
    PRIMARY KEY (epoch, first_uid)
);

-- What is known of these uids, whenever they were claimed. In a function of its own plan: joined to measurement it must
-- never look like so many rows that all of measurement is read. OFFSET 0 keeps the planner from reading whole epochs.
CREATE FUNCTION claimed(uuid[]) RETURNS TABLE (uid uuid, measured_at timestamptz)
LANGUAGE sql STABLE ROWS 50 SET jit = off AS $$
    SELECT i.uid, i.measured_at
    FROM uid_epoch e
    CROSS JOIN LATERAL (
        SELECT i.uid, i.measured_at FROM item_uid i WHERE i.epoch = e.epoch AND i.uid = ANY($1) OFFSET 0
    ) i
    WHERE e.pruned_at IS NULL
    UNION ALL
    SELECT w.uid, r.times[array_position(r.uids, w.uid)]
    FROM uid_epoch e
    CROSS JOIN (SELECT DISTINCT unnest($1) AS uid) w
    CROSS JOIN LATERAL (
        SELECT r.uids, r.times FROM uid_run r WHERE r.epoch = e.epoch AND r.first_uid <= w.uid
        ORDER BY r.first_uid DESC LIMIT 1
    ) r
    WHERE e.packing_since IS NOT NULL AND w.uid = ANY(r.uids)
$$;

-- Where the rows of these uids are, whenever they were stored.
CREATE OR REPLACE FUNCTION located(uuid[]) RETURNS TABLE (uid uuid, measured_at timestamptz)
LANGUAGE sql STABLE ROWS 50 SET jit = off AS $$
    SELECT c.uid, c.measured_at FROM claimed($1) c WHERE c.measured_at IS NOT NULL
$$;

-- What its device dated later than it came: when it comes again, that time says nothing of when it came first. So it
-- belongs to those that are looked for always (server/store/identity.py).
-- Where such a record did come again, and was stored twice, its first uid does: epoch 0 holds each uid once.
UPDATE item_uid i SET epoch = 0
FROM (
    SELECT i.uid, min(i.epoch) AS epoch
    FROM measurement m CROSS JOIN uid_epoch e JOIN item_uid i ON i.epoch = e.epoch AND i.uid = m.uid
    WHERE m.device_time AT TIME ZONE 'UTC' > m.stored_at + INTERVAL '23 hours'
    GROUP BY i.uid
) a
WHERE a.epoch > 0 AND i.epoch = a.epoch AND i.uid = a.uid;
