-- The users, as any program writes them.
CREATE TABLE IF NOT EXISTS larder_users (id text PRIMARY KEY, name text NOT NULL, team text NOT NULL);

-- What committed transactions made invalid, until the caches know.
CREATE TABLE IF NOT EXISTS larder_outbox (
	id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	cache      text NOT NULL,
	keys       text[] NOT NULL DEFAULT '{}',
	tags       text[] NOT NULL DEFAULT '{}',
	everything boolean NOT NULL DEFAULT false
);

-- This function alone knows which entries depend on a user: the user's own, and all
-- lists of the team that the user was in and of the one that the user is in now.
-- OLD is NULL in an INSERT, NEW in a DELETE. The notification is sent if and when the
-- transaction commits, once for many rows.
CREATE OR REPLACE FUNCTION larder_users_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'TRUNCATE' THEN
		INSERT INTO larder_outbox (cache, everything) VALUES ('users', true), ('rosters', true);
	ELSE
		INSERT INTO larder_outbox (cache, keys)
			VALUES ('users', array_remove(ARRAY[OLD.id, NEW.id], NULL));
		INSERT INTO larder_outbox (cache, tags)
			VALUES ('rosters', array_remove(ARRAY['team/' || OLD.team, 'team/' || NEW.team], NULL));
	END IF;
	PERFORM pg_notify('larder_outbox', '');
	RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER larder_users_changed AFTER INSERT OR UPDATE OR DELETE ON larder_users
	FOR EACH ROW EXECUTE FUNCTION larder_users_changed();
CREATE OR REPLACE TRIGGER larder_users_emptied AFTER TRUNCATE ON larder_users
	FOR EACH STATEMENT EXECUTE FUNCTION larder_users_changed();
