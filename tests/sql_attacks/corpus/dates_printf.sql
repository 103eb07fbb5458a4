-- all modifiers that read the process's zone
-- expect: own
SELECT datetime(0, 'unixepoch', 'localtime', 'utc') IS NOT NULL
;;
-- a date that is out of all bounds
-- expect: own
SELECT date(9e999), julianday('-4714-11-24'), strftime('%s', '9999-12-31 23:59:60')
;;
-- every conversion of strftime on stored times
-- expect: own
SELECT strftime('%d %e %f %F %G %g %H %I %j %J %k %l %m %M %p %P %R %s %S %T %U %u %V %w %W %Y %%', due) FROM task ORDER BY id
;;
-- a conversion that does not exist
-- expect: own
SELECT strftime('%Q', due) FROM task
;;
-- the difference of own and no times
-- expect: own
SELECT timediff(due, created), timediff('x', due) FROM task ORDER BY id
;;
-- many modifiers
-- expect: own
SELECT date('2024-01-31', '+1 month', 'ceiling', 'start of month', 'weekday 0', '-1 day', '+08:00', 'floor')
;;
-- the clock within a constraint
SELECT count(*) FROM task WHERE due < 'now' OR created < CURRENT_TIMESTAMP
;;
-- fractions of seconds of the clock
-- expect: own
SELECT typeof(unixepoch('now', 'subsec')), typeof(julianday())
;;
-- a width of two thousand million
-- expect: limit since 3.53
SELECT printf('%2147483647d', 1)
;;
-- a precision of a thousand million
-- expect: limit since 3.53
SELECT printf('%.1000000000d', 1)
;;
-- a width as an argument, negative
-- expect: own
SELECT format('%*s', -2147483648, 'x')
;;
-- a pointer's conversion
-- expect: own
SELECT printf('%p %x %X %o', 255, 255, 255, 255)
;;
-- the conversion that writes to its argument
-- expect: own
SELECT printf('%n%s', 'x', 'y')
;;
-- more conversions than arguments
-- expect: own
SELECT printf('%s %d %f %s', title) FROM task ORDER BY id
;;
-- SQLite's own conversions, for tokens and source lists
-- expect: own
SELECT printf('%q %Q %w %z %T %S %r', title, title, title, title, title, title, 3) FROM task ORDER BY id
;;
-- conversions by code points
-- expect: own
SELECT printf('%!.3s|%!5s|%c', 'äöü', 'ß', 'xyz')
;;
-- numbers that are none
-- expect: own
SELECT printf('%f %e %g %!.26f', 9e999, -9e999, 0.1, 0.1)
;;
-- thousands, signs and zeros
-- expect: own
SELECT printf('%,d %+d %06d % d %-6d|', 1234567, 5, 5, 5, 5)
;;
