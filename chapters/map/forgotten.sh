# A reader and a sender meet at a FIFO. The shell has opened the FIFO for the sender, and has
# not closed its own copy of that descriptor.
mkfifo fifo
cat fifo > received &
exec 4> fifo
echo hello >&4 &
wait
