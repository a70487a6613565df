-- What is asked of a home and must not be forgotten, how long what is kept, and what was erased by order.

-- An order to a gateway stands here until it is answered or expires; the broker forgets it after an hour. The gateway
-- knows an id it has seen, so that an order may be told again whenever it comes online.
CREATE TABLE gateway_order (
    id          uuid PRIMARY KEY,
    gateway_id  int NOT NULL REFERENCES gateway,
    ask         text NOT NULL CHECK (ask IN ('resend')),
    since       timestamptz NOT NULL,
    made_at     timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    sent_at     timestamptz,                    -- last told to somebody who took it …
    times       int NOT NULL DEFAULT 0,         -- … and how often
    answered_at timestamptz,
    answer      jsonb,                          -- the context of the event that answered
    CHECK (since < expires_at AND made_at < expires_at)
);
CREATE INDEX gateway_order_open ON gateway_order (gateway_id) WHERE answered_at IS NULL;

-- How long something is kept. No rule: for ever. A rule for a unit goes before one for all; 0 days: for ever all the same.
CREATE TABLE retention_rule (
    id        int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind_id   smallint REFERENCES kind,         -- null: the access log
    unit_id   int REFERENCES unit,              -- null: every unit without a rule, and what belongs to nobody
    keep_days int NOT NULL CHECK (keep_days >= 0),
    set_at    timestamptz NOT NULL,
    set_by    text NOT NULL,
    reason    text NOT NULL,
    CHECK (kind_id IS NOT NULL OR unit_id IS NULL)
);
CREATE UNIQUE INDEX retention_rule_one ON retention_rule (coalesce(kind_id, -1), coalesce(unit_id, 0));

-- What was removed by a rule, so that its absence can be told from a loss; and how far the next run must look.
CREATE TABLE pruned (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL,
    kind_id    smallint REFERENCES kind,        -- as in the rule
    unit_id    int REFERENCES unit,
    since      timestamptz NOT NULL,            -- looked through from here …
    older_than timestamptz NOT NULL,            -- … to here
    rows       bigint NOT NULL,
    is_whole   boolean NOT NULL                 -- false: it was cut off, and the next run begins again
);
CREATE TRIGGER pruned_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON pruned
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The access log is kept for five years at least (HSLF-FS 2016:40 ch. 4); older lines go by a rule, nothing is changed.
CREATE FUNCTION refuse_young() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.at < now() - INTERVAL '5 years 1 day' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION '% is append-only for five years', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
DROP TRIGGER access_log_append_only ON access_log;
CREATE TRIGGER access_log_append_only BEFORE UPDATE OR TRUNCATE ON access_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER access_log_five_years BEFORE DELETE ON access_log
    FOR EACH ROW EXECUTE FUNCTION refuse_young();

-- The order under which content was erased. No content here, and no identity number: the patient's key stays.
CREATE TABLE erasure (
    id          int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL,
    reference   text NOT NULL,                  -- of the decision, such as the authority's case number
    decided_by  text NOT NULL,
    reason      text NOT NULL,
    patient_id  int,
    uid         uuid,
    counts      jsonb NOT NULL,                 -- rows of each table that lost their content
    CHECK ((patient_id IS NULL) <> (uid IS NULL))
);
CREATE TRIGGER erasure_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON erasure
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Which measurements lost their content, beside the flag 'erased' that they carry: uid, times and place stay.
CREATE TABLE erased_item (
    uid        uuid PRIMARY KEY,
    erasure_id int NOT NULL REFERENCES erasure
);
CREATE TRIGGER erased_item_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON erased_item
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What the rules decided, and what people did, is append-only; its words and numbers go only by an order that the same
-- transaction has written down. Nothing is ever deleted there.
CREATE FUNCTION refuse_change_but_by_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND EXISTS (
        SELECT FROM erasure
        WHERE id::text = current_setting('hemma.erasure', true) AND xmin = pg_current_xact_id()::xid
    ) THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
DROP TRIGGER alert_event_append_only ON alert_event;
CREATE TRIGGER alert_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON alert_event
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_but_by_order();
DROP TRIGGER decision_append_only ON decision;
CREATE TRIGGER decision_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON decision
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_but_by_order();

-- The access log, sealed piece by piece: each seal rests on the one before, so that a line that was changed, added or
-- taken away later is found. Not a hash in each line: every page would wait for the page before.
CREATE TABLE access_seal (
    id       int PRIMARY KEY,                   -- 1, 2, 3 …
    first_id bigint NOT NULL,
    last_id  bigint NOT NULL,
    first_at timestamptz NOT NULL,              -- of the oldest line in it
    rows     int NOT NULL,
    digest   bytea NOT NULL,                    -- over the lines, server/store/access_seals.py
    chain    bytea NOT NULL,                    -- over this seal and the one before
    made_at  timestamptz NOT NULL
);
CREATE TRIGGER access_seal_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON access_seal
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
