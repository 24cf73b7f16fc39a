/* D-Bus, bare: bind(2), listen(2), accept(2), connect(2); messages and AUTH by sd-bus(3).
   Wire: D-Bus on a Unix socket, without a bus: a call of Post(s), a reply with a u.
   Not here: a second client, another user's client, signals, properties, a bus. See chapter dbus.
   cc -Wall dbus.c -o dbus -lsystemd; ./dbus server /tmp/d & sleep 1; ./dbus client /tmp/d hello */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define BOARD "/org/ipclab/Board", "org.ipclab.Board1" /* an object, and its interface */
static int libc(int result) { return result == -1 ? -errno : result; } /* as sd-bus returns it */

/* Leaves with the name of the error, if a call has failed. */
static int ok(int result, const char *call)
{
    if (result < 0)
        exit((fprintf(stderr, "%s: %s\n", call, strerrorname_np(-result)), 1));
    return result;
}

static int post(sd_bus_message *call, void *last, sd_bus_error *error)
{
    const char *text;
    if (sd_bus_message_read(call, "s", &text) < 0)
        return sd_bus_error_set_errno(error, EINVAL);
    ok(libc(dprintf(1, "%s\n", text)), "write");
    return sd_bus_reply_method_return(call, "u", ++*(uint32_t *)last);
}

static void server(struct sockaddr_un address)
{
    int listener = ok(libc(socket(AF_UNIX, SOCK_STREAM, 0)), "socket");
    ok(libc(bind(listener, &address, sizeof address)), "bind"); /* EADDRINUSE: the name exists */
    ok(libc(listen(listener, 1)), "listen");
    int client = ok(libc(accept(listener, NULL, NULL)), "accept"); /* sleeps until a client comes */
    sd_bus *bus;
    ok(sd_bus_new(&bus), "sd_bus_new");
    ok(sd_bus_set_fd(bus, client, client), "sd_bus_set_fd");
    ok(sd_bus_set_server(bus, 1, (sd_id128_t){ .bytes = "0123456789abcde" }), "sd_bus_set_server");
    ok(sd_bus_start(bus), "sd_bus_start");
    const sd_bus_vtable board[] = { SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Post", "s", "u", post, SD_BUS_VTABLE_UNPRIVILEGED), SD_BUS_VTABLE_END };
    ok(sd_bus_add_object_vtable(bus, NULL, BOARD, board, &(uint32_t){ 0 }), "add_object_vtable");
    while (sd_bus_is_open(bus) > 0) /* until the client closes */
        if (ok(sd_bus_process(bus, NULL), "sd_bus_process") == 0)
            ok(sd_bus_wait(bus, UINT64_MAX), "sd_bus_wait"); /* sleeps until a call comes */
    ok(libc(unlink(address.sun_path)), "unlink");
}

static void client(const char *name, char *messages[])
{
    sd_bus *bus;
    ok(sd_bus_new(&bus), "sd_bus_new");
    ok(sd_bus_set_address(bus, strcat((char[200]){"unix:path="}, name)), "sd_bus_set_address");
    ok(sd_bus_start(bus), "sd_bus_start"); /* ENOENT: no server yet */
    for (uint32_t number; *messages; messages++) {
        sd_bus_message *reply; /* the call sleeps until it comes */
        ok(sd_bus_call_method(bus, NULL, BOARD, "Post", NULL, &reply, "s", *messages), "Post");
        ok(sd_bus_message_read(reply, "u", &number), "sd_bus_message_read");
        ok(libc(dprintf(1, "%u\n", number)), "write");
    }
    sd_bus_flush_close_unref(bus); /* sleeps until AUTH is done, if it is not yet */
}

int main(int argc, char *argv[])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, argc > 2 && strlen(argv[2]) <= 107 ? argv[2] : "");
    if (*address.sun_path && argc == 3 && strcmp(argv[1], "server") == 0) /* 1 to 107 bytes */
        server(address);
    else if (*address.sun_path && strcmp(argv[1], "client") == 0)
        client(argv[2], argv + 3);
    else
        return fprintf(stderr, "usage: dbus server PLACE | client PLACE MESSAGE...\n"), 2;
}
