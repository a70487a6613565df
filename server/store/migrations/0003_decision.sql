-- What the rules decided, with the reason, also where nobody was alerted: nothing is suppressed in silence.

CREATE TABLE decision (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    decided_at   timestamptz NOT NULL,              -- the server's clock
    patient_id   int,
    gateway_id   int,
    rule         text NOT NULL,                     -- lineage
    rule_version text NOT NULL,
    decided      text NOT NULL CHECK (decided IN ('fire', 'extend', 'clear', 'ask_repeat', 'suppress')),
    reason       text NOT NULL,
    severity     text NOT NULL,
    alert_id     uuid,
    uids         uuid[] NOT NULL,                   -- the measurements cited
    text_sv      text NOT NULL,
    text_en      text NOT NULL
);
CREATE INDEX decision_patient ON decision (patient_id, id);
CREATE TRIGGER decision_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON decision
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
