-- Where the bot keeps its operational log, for a service whose configuration has [ledger]: a role, and a schema in which
-- it makes its tables. Run it as a superuser in the database that is to hold the log, one of the operators' own rather
-- than the backend's, created with encoding UTF8; then give the role a password:
--
--     createdb --encoding=UTF8 --template=template0 scalebot
--     psql --dbname=scalebot --file=ledger.sql
--     psql --dbname=scalebot --command='\password scalebot_ledger'
--
-- Running it again changes nothing. Another name for the schema: ledger.schema in the configuration.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'scalebot_ledger') THEN
        CREATE ROLE scalebot_ledger LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
    END IF;
END
$$;

-- Six for each process, of which one leads and others wait, and room for whoever looks on the host meanwhile.
ALTER ROLE scalebot_ledger CONNECTION LIMIT 30;

CREATE SCHEMA IF NOT EXISTS scalebot;
GRANT USAGE, CREATE ON SCHEMA scalebot TO scalebot_ledger;
