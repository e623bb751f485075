-- A catalog as version 1 of the store left it: three objects of 100 bytes, one of them with two names.
CREATE TABLE object (
    digest    BLOB    NOT NULL PRIMARY KEY,
    size      INTEGER NOT NULL,
    last_used INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX object_use ON object (last_used);

CREATE TABLE entry (
    repo          TEXT    NOT NULL,
    path          TEXT    NOT NULL,
    digest        BLOB    NOT NULL,
    etag          TEXT,
    last_modified INTEGER,
    content_type  TEXT,
    fetched_at    INTEGER NOT NULL,
    validated_at  INTEGER NOT NULL,
    upstream      TEXT    NOT NULL,
    policy        TEXT,
    PRIMARY KEY (repo, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX entry_object ON entry (digest);

CREATE TABLE partial (
    name          TEXT NOT NULL PRIMARY KEY,
    repo          TEXT NOT NULL,
    path          TEXT NOT NULL,
    boot          TEXT NOT NULL,
    total         INTEGER,
    etag          TEXT,
    last_modified INTEGER,
    content_type  TEXT,
    upstream      TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE totals (
    id      INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    bytes   INTEGER NOT NULL,
    objects INTEGER NOT NULL,
    evicted INTEGER NOT NULL
) STRICT;
INSERT INTO totals VALUES (1, 0, 0, 0);
UPDATE totals SET bytes = 300, objects = 3, evicted = 7;
INSERT INTO object VALUES (x'1111111111111111111111111111111111111111111111111111111111111111', 100, 1000);
INSERT INTO object VALUES (x'2222222222222222222222222222222222222222222222222222222222222222', 100, 2000);
INSERT INTO object VALUES (x'3333333333333333333333333333333333333333333333333333333333333333', 100, 3000);
INSERT INTO entry VALUES ('ubuntu', 'a', x'1111111111111111111111111111111111111111111111111111111111111111',
    '"abc"', -5, 'text/plain', 10, 11, 'http://archive.ubuntu.com/ubuntu/a', NULL);
INSERT INTO entry VALUES ('ubuntu', 'b', x'2222222222222222222222222222222222222222222222222222222222222222',
    NULL, NULL, NULL, 20, 21, 'http://archive.ubuntu.com/ubuntu/b', '{}');
INSERT INTO entry VALUES ('ubuntu', 'also b', x'2222222222222222222222222222222222222222222222222222222222222222',
    NULL, NULL, NULL, 20, 21, 'http://archive.ubuntu.com/ubuntu/b', '{}');
PRAGMA user_version = 1;
