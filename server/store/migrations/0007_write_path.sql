-- What a row costs to write must not grow with what is stored (docs/decisions/0017). A random key in an index over all
-- history touches another page for each row; so uids are kept in epochs, and rows are found by their time and uid.

CREATE TABLE uid_epoch (
    epoch     smallint PRIMARY KEY,                 -- 0: uids of values dated later than they came, looked into always
    since     timestamptz NOT NULL,                 -- the server's clock; from here on uids are claimed in this epoch …
    until     timestamptz,                          -- … and before here; null: still
    first_seq bigint NOT NULL                       -- received_seq at its beginning: tells how much it holds
);
ALTER TABLE item_uid RENAME TO item_uid_before;
ALTER TABLE item_uid_before RENAME CONSTRAINT item_uid_pkey TO item_uid_before_pkey;
CREATE TABLE item_uid (
    uid         uuid NOT NULL,
    stored_at   timestamptz NOT NULL,
    measured_at timestamptz,                        -- where its row is: moved with it; null: an item without a row
    identity    uuid,                               -- 16 bytes, server/store/identity.py; null: from before there were any
    epoch       smallint NOT NULL
);
INSERT INTO uid_epoch
SELECT 0, TIMESTAMPTZ '-infinity', NULL::timestamptz, 0 UNION ALL
SELECT 1, coalesce((SELECT min(stored_at) FROM item_uid_before), now()), NULL, 0;
INSERT INTO item_uid
SELECT DISTINCT ON (i.uid) i.uid, i.stored_at, m.measured_at, encode(i.identity, 'hex')::uuid,
       CASE WHEN coalesce(m.measured_at_sent, m.measured_at) > i.stored_at + INTERVAL '10 minutes' THEN 0 ELSE 1 END
FROM item_uid_before i LEFT JOIN measurement m ON m.uid = i.uid;
DROP TABLE item_uid_before;
ALTER TABLE item_uid ADD PRIMARY KEY (epoch, uid);

-- Where the rows of these uids are, whenever they were stored.
CREATE FUNCTION located(uuid[]) RETURNS TABLE (uid uuid, measured_at timestamptz) LANGUAGE sql STABLE ROWS 50 AS $$
    SELECT i.uid, i.measured_at
    FROM uid_epoch e
    CROSS JOIN LATERAL (
        SELECT i.uid, i.measured_at FROM item_uid i WHERE i.epoch = e.epoch AND i.uid = ANY($1) OFFSET 0
    ) i
    WHERE i.measured_at IS NOT NULL
$$;

-- In the order of time new keys come side by side; with the time they find what the uid alone found before.
DROP INDEX measurement_uid;
CREATE INDEX measurement_time ON measurement (measured_at, uid);
-- The components of an item lie side by side too: one page, and one index instead of two.
DROP INDEX observation_uid;
DROP INDEX observation_patient;
CREATE INDEX observation_patient ON observation (patient_id, measured_at, component_id);
CREATE INDEX observation_time ON observation USING brin (measured_at) WITH (autosummarize = on);
CREATE INDEX observation_unassigned ON observation (measured_at, uid) WHERE patient_id IS NULL;

-- The numbers of kinds are the catalogue's, which fills the table (server/store/catalogue.py): asking again for each row
-- cost as much as an index.
ALTER TABLE measurement DROP CONSTRAINT measurement_kind_id_fkey;

-- Rows that are overwritten all day: room on the page keeps the index out of it.
ALTER TABLE latest SET (fillfactor = 70);
