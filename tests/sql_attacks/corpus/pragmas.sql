-- every table of every schema
-- expect: error
SELECT name FROM pragma_table_list
;;
-- columns of the hidden table
-- expect: error
SELECT name FROM pragma_table_info('{rows}')
;;
-- names of indexes, and from them what entities there are
-- expect: error
SELECT * FROM pragma_index_list('{rows}')
;;
-- columns of an index
-- expect: error
SELECT * FROM pragma_index_xinfo('_id_task')
;;
-- the file's path
-- expect: error
SELECT file FROM pragma_database_list
;;
-- how many pages all tenants have together
-- expect: error
SELECT count(*), max(page_count) FROM pragma_page_count
;;
-- free pages, which tell of others' deletions
-- expect: error
SELECT * FROM pragma_freelist_count
;;
-- collations of the connection
-- expect: error
SELECT * FROM pragma_collation_list
;;
-- modules of the connection
-- expect: error
SELECT * FROM pragma_module_list
;;
-- settings of the connection one could turn back
-- expect: error
SELECT * FROM pragma_query_only UNION ALL SELECT * FROM pragma_trusted_schema
;;
-- a pragma by its name in capitals and quotes
-- expect: error
SELECT count(*) FROM "PRAGMA_Table_List"
;;
-- a pragma table in a schema by name
-- expect: error
SELECT * FROM main.pragma_user_version
;;
-- a pragma table through a join that reads none of its columns
-- expect: error
SELECT t.id FROM task t, pragma_freelist_count
;;
-- integrity check over a table in which every tenant is
-- expect: error
SELECT * FROM pragma_quick_check('{rows}')
;;
-- foreign keys that do not hold, of anybody
-- expect: error
SELECT * FROM pragma_foreign_key_check('{rows}')
;;
-- lets the connection write
-- expect: refused
PRAGMA query_only = OFF
;;
-- lets it change the schema's text
-- expect: refused
PRAGMA writable_schema = ON
;;
-- lets it leave defensive mode and drop views
-- expect: refused
PRAGMA writable_schema = RESET
;;
-- moves temporary files into a folder of one's own
-- expect: refused
PRAGMA temp_store_directory = '{dir}'
;;
-- memory for the whole process
-- expect: refused
PRAGMA hard_heap_limit = 1
;;
-- maps the file into memory
-- expect: refused
PRAGMA mmap_size = 1000000000
;;
-- indexes that are made on the fly, of all tenants' rows
-- expect: refused
PRAGMA automatic_index = ON
;;
-- statistics of all tenants' rows
-- expect: refused
PRAGMA optimize(0x10002)
;;
-- a secret key for a file that has none
-- expect: refused
PRAGMA key = 'x'
;;
-- a pragma with a schema and a call's parentheses
-- expect: refused
PRAGMA main.table_xinfo({rows})
;;
-- a pragma that nobody knows
-- expect: refused
PRAGMA no_such_pragma
;;
-- a pragma behind a comment
-- expect: refused
/* SELECT */ PRAGMA /* x */ user_version
;;
-- lets long statements go without being asked for the time
-- expect: refused
PRAGMA busy_timeout = 2147483647
;;
-- double-quoted names as texts, so that a mistyped column is a text
-- expect: refused
PRAGMA legacy_file_format = 1
;;
-- the schema's version, by which the connection knows that it is too old
-- expect: refused
PRAGMA schema_version
;;
