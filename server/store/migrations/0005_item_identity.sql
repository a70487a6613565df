-- Two items with one uid are the same, or one of them must not be acknowledged (docs/decisions/0010).

ALTER TABLE item_uid
    ADD COLUMN identity bytea;                      -- server/store/identity.py; null: stored before there was any
