/* SPDX-License-Identifier: MIT */
/* A plain tunnel to compare with: a TUN interface and a UDP socket, a system call for each packet
 * and direction, no cipher, no congestion control, no header.
 *
 *     plain TUN LOCAL-ADDR PORT REMOTE-ADDR PORT [trains]
 *
 * With "trains" the interface has offloads, and a train is one UDP datagram of up to 64 KiB, which
 * IP cuts into fragments. */

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 65536 + 10, PER_TURN = 64, SIZE_MAX_UDP = 65507 };

static void need(int result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(1);
    }
}

static struct sockaddr_in address_of(const char *text, const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
    need(inet_pton(AF_INET, text, &address.sin_addr) - 1, text);
    return address;
}

static void pass(int from, int to)
{
    static char bytes[ROOM];
    for (int i = 0; i < PER_TURN; i++) {
        ssize_t size = read(from, bytes, sizeof(bytes));
        if (size <= 0)
            return;
        if (size <= SIZE_MAX_UDP)
            (void)!write(to, bytes, (size_t)size);
    }
}

int main(int argc, char **argv)
{
    if (argc < 6)
        return 2;
    int buffer_size = 4 << 20, head_size = 10;
    int has_trains = argc > 6;
    struct ifreq request = {.ifr_flags = 0};
    struct sockaddr_in local = address_of(argv[2], argv[3]), remote = address_of(argv[4], argv[5]);
    int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    need(tun, "/dev/net/tun");
    (void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%.15s", argv[1]);
    request.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | (has_trains ? IFF_VNET_HDR : 0));
    need(ioctl(tun, TUNSETIFF, &request), argv[1]);
    if (has_trains) {
        need(ioctl(tun, TUNSETVNETHDRSZ, &head_size), "TUNSETVNETHDRSZ");
        need(ioctl(tun, TUNSETOFFLOAD, 7UL), "TUNSETOFFLOAD"); /* checksums, TSO */
    }
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    need(udp, "socket");
    (void)setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_size, sizeof(buffer_size));
    (void)setsockopt(udp, SOL_SOCKET, SO_SNDBUFFORCE, &buffer_size, sizeof(buffer_size));
    need(bind(udp, (struct sockaddr *)&local, sizeof(local)), "bind");
    need(connect(udp, (struct sockaddr *)&remote, sizeof(remote)), "connect");
    printf("ready\n");
    (void)fflush(stdout);
    struct pollfd fds[2] = {{.fd = tun, .events = POLLIN}, {.fd = udp, .events = POLLIN}};
    for (;;) {
        need(poll(fds, 2, -1), "poll");
        pass(tun, udp);
        pass(udp, tun);
    }
}
