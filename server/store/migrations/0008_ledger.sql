-- Completeness (docs/decisions/0018): which numbers of which boot the server has had the last word on, and a daily chain
-- over what it stored.

-- Folded from measurement and ledger_entry (store/ledger.py): ingest writes no row here. Times are the server's clock.
CREATE TABLE ledger (
    gateway_id int NOT NULL REFERENCES gateway,
    boot       uuid NOT NULL,
    had        int8multirange NOT NULL,             -- stored, a duplicate, in quarantine, or a tombstone
    duplicates bigint NOT NULL DEFAULT 0,           -- of what came since begun_at
    late       bigint NOT NULL DEFAULT 0,           -- stored more than 10 minutes after the gateway had it
    first_at   timestamptz NOT NULL,
    last_at    timestamptz NOT NULL,
    passed_seq bigint NOT NULL DEFAULT 0,           -- what is missing below it is missing for longer than the patience
    is_full    boolean NOT NULL DEFAULT false,      -- so many holes that no more are kept: no honest gateway comes there
    begun_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (gateway_id, boot)
);

-- What measurement does not say, in the transaction of the items: numbers without a row there, what came again or late.
-- Emptied by the next folding. No index, and no reference to gateway: the check would lock its row.
CREATE TABLE ledger_entry (
    gateway_id int NOT NULL,
    boot       uuid NOT NULL,
    numbers    int8multirange NOT NULL,
    duplicates bigint NOT NULL,
    late       bigint NOT NULL,
    at         timestamptz NOT NULL
);

-- Up to which stored_at measurement is folded.
CREATE TABLE ledger_fold (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    until timestamptz NOT NULL
);
INSERT INTO ledger_fold (until) SELECT CASE WHEN EXISTS (SELECT FROM measurement) THEN now() ELSE '-infinity' END;

-- A row that its gateway could never send: a known hole, with its reason. No reference, as above.
CREATE TABLE tombstone (
    gateway_id int NOT NULL,
    boot       uuid NOT NULL,
    seq        bigint NOT NULL,
    why        text NOT NULL,
    at         timestamptz NOT NULL,
    PRIMARY KEY (gateway_id, boot, seq)
);

-- The days that are certified, for all gateways; none is ever done again.
CREATE TABLE certified_day (
    day     date PRIMARY KEY,                       -- UTC, by stored_at
    made_at timestamptz NOT NULL
);
CREATE TRIGGER certified_day_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON certified_day
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- One gateway's day, on which it had something stored. The bytes hashed: devices/wire/certificates.py.
CREATE TABLE certificate (
    gateway_id int NOT NULL REFERENCES gateway,
    day        date NOT NULL REFERENCES certified_day,
    row_count  bigint NOT NULL,
    chain      bytea NOT NULL,
    PRIMARY KEY (gateway_id, day)
);
CREATE TRIGGER certificate_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON certificate
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE certificate_range (
    gateway_id int NOT NULL,
    day        date NOT NULL,
    boot       uuid NOT NULL,
    first_seq  bigint NOT NULL,
    last_seq   bigint NOT NULL,
    digest     bytea NOT NULL,
    PRIMARY KEY (gateway_id, day, boot, first_seq),
    FOREIGN KEY (gateway_id, day) REFERENCES certificate
);
CREATE TRIGGER certificate_range_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON certificate_range
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What is erased by order, or dropped by age, keeps its place in the chain: written before its measurement goes.
CREATE TABLE erased_row (
    gateway_id int NOT NULL REFERENCES gateway,
    boot       uuid NOT NULL,
    seq        bigint NOT NULL,
    stored_at  timestamptz NOT NULL,
    row_hash   bytea NOT NULL,
    PRIMARY KEY (gateway_id, boot, seq)
);
CREATE INDEX erased_row_stored ON erased_row (stored_at);
-- The same bytes as devices.wire.row_hash; a test holds them together.
CREATE FUNCTION certificate_row_hash(boot uuid, seq bigint, uid uuid) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT
    RETURN sha256('\x68656d6d612d726f772d763100'::bytea || uuid_send(boot) || int8send(seq) || uuid_send(uid));

-- What was stored on a day, without reading all others: rows lie in the order of their storing. A block range index
-- costs next to nothing at insert.
CREATE INDEX measurement_stored ON measurement USING brin (stored_at) WITH (pages_per_range = 32, autosummarize = on);

-- What came before there was a ledger. Times are known, the number of duplicates is not.
WITH said AS (
    SELECT gateway_id, boot, seq, stored_at AS first_at, stored_at AS last_at,
           gateway_clock IS DISTINCT FROM 'none'
           AND stored_at > coalesce(gateway_time, measured_at) + INTERVAL '10 minutes' AS late
    FROM measurement
    WHERE gateway_id IS NOT NULL AND boot IS NOT NULL
    UNION ALL
    SELECT g.id, CASE WHEN q.boot ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN q.boot::uuid END,
           q.seq, q.at, q.last_at, false
    FROM quarantine q JOIN gateway g ON g.name = q.gateway
), numbered AS (
    SELECT *, seq - dense_rank() OVER (PARTITION BY gateway_id, boot ORDER BY seq) AS island
    FROM said WHERE boot IS NOT NULL AND seq BETWEEN 1 AND 9223372036854775806
), islands AS (
    SELECT gateway_id, boot, int8range(min(seq), max(seq), '[]') AS numbers, count(*) FILTER (WHERE late) AS late,
           min(first_at) AS first_at, max(last_at) AS last_at
    FROM numbered GROUP BY gateway_id, boot, island
)
INSERT INTO ledger (gateway_id, boot, had, late, first_at, last_at)
SELECT gateway_id, boot, range_agg(numbers), sum(late), min(first_at), max(last_at)
FROM islands GROUP BY gateway_id, boot;

-- Clock, retract and tombstone items left no number, but their uid is made of boot and seq (devices/wire/identity.py):
-- where that uid was claimed, the number has come. Holes of more than a thousand numbers are loss, or no honest gateway's.
UPDATE ledger l SET had = l.had + f.numbers
FROM (
    SELECT h.gateway_id, h.boot, range_agg(int8range(n, n, '[]')) AS numbers
    FROM (SELECT gateway_id, boot, unnest(int8multirange(int8range(1, upper(had))) - had) AS hole FROM ledger) h
    CROSS JOIN LATERAL generate_series(lower(h.hole), least(upper(h.hole) - 1, lower(h.hole) + 999)) AS n
    JOIN item_uid u
      ON u.uid = encode(substring(sha256(convert_to(h.boot::text, 'UTF8') || int8send(n)) FOR 16), 'hex')::uuid
    WHERE upper(h.hole) - lower(h.hole) <= 1000
    GROUP BY h.gateway_id, h.boot
) f
WHERE f.gateway_id = l.gateway_id AND f.boot = l.boot;
