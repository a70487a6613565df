-- What TimescaleDB adds, where it is: weekly chunks for the two tables that grow. On plain PostgreSQL this does nothing
-- and says so; nothing in the program depends on it (design.md: capability read once, never required). A database that
-- was filled before TimescaleDB came is converted by server/store/hypertables.py.
-- by_range works from the Apache edition 2.13 on (Debian 13 has 2.19). 7 days: research on chunk sizes in docs/decisions.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        -- Without preloading, CREATE EXTENSION would end the whole session, so look first: the preloaded library has this
        -- setting. shared_preload_libraries itself only a superuser may read.
        IF NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')
           OR current_setting('timescaledb.max_background_workers', true) IS NULL THEN
            RAISE NOTICE 'hemma: plain PostgreSQL, measurement and observation stay ordinary tables';
            RETURN;
        END IF;
        BEGIN
            CREATE EXTENSION timescaledb;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE NOTICE 'hemma: TimescaleDB is installed but this user may not create the extension; ordinary tables';
            RETURN;
        END;
    END IF;
    PERFORM create_hypertable('measurement', by_range('measured_at', INTERVAL '7 days'), create_default_indexes => false);
    PERFORM create_hypertable('observation', by_range('measured_at', INTERVAL '7 days'), create_default_indexes => false);
END $$;
