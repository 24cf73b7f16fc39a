/* An eventfd begins with a value that nobody wrote; its number is used again.
   must: write -> read */
#include "fool.h"
int main(void) {
    unsigned long value = 5;
    int first = eventfd(0, 0);
    must(write(first, &value, 8));
    close(first);
    int second = eventfd(7, EFD_SEMAPHORE);
    for (int n = 0; n < 7; n++) must(read(second, &value, 8));
    must(write(second, &value, 8));
    must(read(second, &value, 8));
}
