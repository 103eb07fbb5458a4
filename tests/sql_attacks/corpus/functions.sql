-- loads a library into the process
-- expect: refused
SELECT load_extension('{dir}/evil')
;;
-- loads a library by an entry point, for each own row
-- expect: refused
SELECT load_extension('{dir}/evil', 'sqlite3_extension_init') FROM task
;;
-- counts changes of the connection, which would tell of what made the views
-- expect: refused
SELECT total_changes()
;;
-- the last rowid that the connection inserted: one of the members' copy
-- expect: refused
SELECT last_insert_rowid()
;;
-- changes of the last statement on the connection
-- expect: refused
SELECT changes(), 1
;;
-- where in the file a value lies, in builds that have this
-- expect: error
SELECT sqlite_offset(title) FROM task
;;
-- the library's source, and so its known holes
-- expect: refused
SELECT sqlite_source_id()
;;
-- options that the library was compiled with, one by one
-- expect: refused
SELECT sqlite_compileoption_get(value) FROM json_each('[0,1,2,3,4,5,6,7]')
;;
-- writes into the application's error log
-- expect: refused
SELECT sqlite_log(1, 'forged line')
;;
-- the renaming helpers that ALTER TABLE uses and that parse a schema
-- expect: refused
SELECT sqlite_rename_table('main', 'table', 'task', 'CREATE TABLE x(y)', 'x', 'z', 0)
;;
-- ALTER's helper for dropped columns
-- expect: refused
SELECT sqlite_drop_column(0, 'CREATE TABLE x(a,b)', 1)
;;
-- the renaming test that checks every statement of the schema
-- expect: refused
SELECT sqlite_rename_test('main', 'CREATE VIEW v AS SELECT * FROM {rows}', 'view', 'v', 0, 'x', 0)
;;
-- allocates a gigabyte of zeros
-- expect: refused
SELECT length(zeroblob(1000000000))
;;
-- spends the system's randomness
-- expect: refused
SELECT hex(randomblob(16))
;;
-- the name in capitals and quotes, to pass a list that compares letters
-- expect: refused
SELECT "Load_Extension"('{dir}/evil')
;;
-- the name in brackets
-- expect: refused
SELECT [RANDOMBLOB](8)
;;
-- a refused function where it is never evaluated
-- expect: refused
SELECT CASE WHEN 0 THEN load_extension('x') END
;;
-- a refused function in a filter of an aggregate
-- expect: refused
SELECT count(*) FILTER (WHERE total_changes() > 0) FROM task
;;
-- a refused function in ORDER BY within an aggregate
-- expect: refused
SELECT group_concat(title ORDER BY randomblob(4)) FROM task
;;
-- a refused function as a LIMIT
-- expect: refused
SELECT title FROM task LIMIT changes() + 10
;;
-- regular expressions, which nobody registered
SELECT title FROM task WHERE title REGEXP '{canary}.*'
;;
-- MATCH without an index for text
SELECT title FROM task WHERE title MATCH '{canary}*'
;;
-- an operator's function called by name on other tenants' beginnings
-- expect: own
SELECT count(*) FROM task WHERE like('{canary}%', title) OR glob('{canary}*', title)
;;
-- decodes guesses of stored bytes by the views' own functions
-- expect: own
SELECT utc_text(0), uuid_text(x'00112233445566778899aabbccddeeff'), messagepack_json(x'93a161c3c0'), audit_json(x'90')
;;
-- the views' own functions on what they can't read
-- expect: own
SELECT utc_text('x'), utc_text(9223372036854775807), uuid_text('{foreign}'), uuid_time(payload), messagepack_json(title), audit_json(payload) FROM task
;;
-- when another tenant's record was made, which its id tells whoever has it
-- expect: own
SELECT uuid_time('{foreign}') IS NOT NULL
;;
-- type affinity of stored columns
-- expect: refused
SELECT affinity(title) FROM task
;;
-- the comparison helpers of SQLite's own tests
-- expect: refused
SELECT expr_implies_expr(title = 'x', title IS NOT NULL) FROM task
;;
-- soundex of all titles, to sound other tenants' out
-- expect: own
SELECT DISTINCT soundex(title) FROM task ORDER BY 1
;;
-- quote and unistr, to get at raw bytes
-- expect: own
SELECT quote(payload), unistr_quote(title), unistr('\0041') FROM task ORDER BY id
;;
-- mathematical functions, among them ones that are not in the list
SELECT pow(2, 10), ln(1), pi(), mod(7, 3), sqrt(-1)
;;
-- percentiles, as aggregates over other rows
SELECT percentile(amount, 50), median(amount) FROM task
;;
