"""Makes the FIFO $IPCLAB_DIR/NAME and prints what comes out, by the standard library."""

import os
import sys

path = os.path.join(os.environ["IPCLAB_DIR"], sys.argv[1])
os.mkfifo(path, 0o600)
print("ready", flush=True)
with open(path, "rb") as fifo:  # sleeps until a writer opens it too
    sys.stdout.buffer.write(fifo.read())
os.unlink(path)
