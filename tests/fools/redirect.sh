# The commonest redirection: the shell closes the FIFO by giving descriptor 1 back.
# must: write "hi\n" -> read "hi\n"
# may: write "hi\n" -> read
# must: dup2 -> read ""
# may: openat -> openat
mkfifo f
{ cat f > got; read line < got; } &
echo hi > f
read line < /dev/null
wait
rm f got
