-- the key of the connection
-- expect: refused
PRAGMA key
;;
-- another key for the connection
-- expect: refused
PRAGMA key = 'x'
;;
-- another key as text in digits
-- expect: refused
PRAGMA hexkey = '00'
;;
-- another key for the file
-- expect: refused
PRAGMA rekey = 'x'
;;
-- the salt of the file, which is in its first bytes
-- expect: refused
PRAGMA cipher_salt
;;
-- how the file is encrypted
-- expect: refused
PRAGMA cipher_settings
;;
-- the version
-- expect: refused
PRAGMA cipher_version
;;
-- reading all pages of everybody
-- expect: refused
PRAGMA cipher_integrity_check
;;
-- a log of the whole process in a file of one's own
-- expect: refused
PRAGMA cipher_log = '{dir}/log'
;;
-- more of that log
-- expect: refused
PRAGMA cipher_log_level = TRACE
;;
-- times of others' statements in a file of one's own
-- expect: refused
PRAGMA cipher_profile = '{dir}/profile'
;;
-- settings of connections that are opened later
-- expect: refused
PRAGMA cipher_default_kdf_iter = 1
;;
-- what wipes memory, and is for the whole process
-- expect: refused
PRAGMA cipher_memory_security = ON
;;
-- migrating the file
-- expect: refused
PRAGMA cipher_migrate
;;
-- the salt as a table
-- expect: error
SELECT * FROM pragma_cipher_salt
;;
-- the key as a table
-- expect: error
SELECT * FROM pragma_key
;;
-- everything into another database
SELECT sqlcipher_export('temp')
;;
-- everything into another database, from there
SELECT sqlcipher_export('main', 'temp')
;;
-- another file with a key
-- expect: refused
ATTACH '{dir}/other.db' AS other KEY 'x'
;;
-- the own file without its key
-- expect: refused
ATTACH '{db}' AS other KEY ''
