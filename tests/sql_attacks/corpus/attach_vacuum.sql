-- the same file under another name, without views
-- expect: refused
ATTACH DATABASE '{db}' AS again
;;
-- the file by an address, for writing
-- expect: refused
ATTACH 'file:{db}?mode=rwc' AS again
;;
-- a new file
-- expect: refused
ATTACH '{dir}/new.db' AS fresh
;;
-- a shared cache in memory
-- expect: refused
ATTACH 'file::memory:?cache=shared' AS shared
;;
-- the file's name as an expression
-- expect: refused
ATTACH (SELECT '{db}') AS again
;;
-- without the main schema
-- expect: refused
DETACH DATABASE main
;;
-- a copy of everything
-- expect: refused
VACUUM INTO '{dir}/copy.db'
;;
-- a copy of what is temporary
VACUUM temp INTO '{dir}/temporary.db'
;;
-- renumbers
-- expect: refused
VACUUM
;;
-- statistics, by which plans can be told from
-- expect: refused
ANALYZE main.{rows}
;;
-- statistics of everything
-- expect: refused
ANALYZE
;;
-- indexes anew
-- expect: refused
REINDEX main.{rows}
;;
-- indexes of a collation anew
REINDEX NOCASE
;;
-- the file's bytes
-- expect: error
SELECT readfile('{db}')
;;
-- writes a file
-- expect: error
SELECT writefile('{dir}/evil', x'00')
;;
-- opens an editor
-- expect: error
SELECT edit(title, 'sh') FROM task
;;
