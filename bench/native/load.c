/* load: keeps one message in flight on each of many connections of an echo
 * server, and counts the replies; or opens idle connections; or only keeps a
 * core busy. See usage() for the options.
 *
 * The server's CPU clock is read at both ends of the counted window, by the
 * process that counts: CPU per request then covers those requests exactly.
 * Replies are compared with what was sent: the first few of each connection
 * and every 64th afterwards. No two messages are alike, so a server that mixes
 * up its connections or its buffers is caught. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tls.h"

enum { BATCH = 512, CHECKED = 4, SHIFTS = 251, PORTS = 16 };
#define SECOND 1000000000ll

static struct {
    const char *path;          /* unix socket, or NULL for 127.0.0.1 */
    int ports[PORTS], port_count;
    int links;                 /* connections */
    size_t size;               /* bytes per message */
    long per_link;             /* reconnect after so many replies; 0: never */
    long reset_every;          /* break off each so many-th connection; 0: never */
    long requests;             /* stop after so many replies; 0: after `seconds` */
    double seconds, warm;
    pid_t pid;                 /* whose CPU time is read */
    int core;                  /* the other one, whose distance is measured */
    int with_tls, spin;
} want = {.links = 16, .size = 1024, .seconds = 1, .warm = 0.3};

enum phase { CONNECTING, SHAKING, TALKING, GONE };

struct link {
    int fd, number;
    enum phase phase;
    void *session;
    size_t sent, got;          /* of the message in flight */
    long replies;              /* on this connection */
    int64_t started;           /* when the message, or the connecting, began */
    const char *message;
    int checked;
};

static int queue;
static char *pattern, *inbox;
static void *context;
static long replies, counted, opened, resets, lost, wrong;
static int counting;
static int64_t last_reply;

/* Latencies: 32 steps per power of two, so 3 % apart. */
static uint32_t latency[64 * 32];

static int64_t clock_of(clockid_t id) {
    struct timespec t;
    return clock_gettime(id, &t) ? 0 : t.tv_sec * SECOND + t.tv_nsec;
}

static int64_t now(void) { return clock_of(CLOCK_MONOTONIC); }

static int64_t cpu_of(pid_t pid) {
    clockid_t id;
    return pid && !clock_getcpuclockid(pid, &id) ? clock_of(id) : 0;
}

/* How long the process has stood in the run queue while others had its core. */
static int64_t queued(pid_t pid) {
    char path[64];
    long long ran, waited = 0;
    snprintf(path, sizeof path, "/proc/%d/schedstat", pid);
    FILE *file = pid ? fopen(path, "r") : NULL;
    if (!file) return 0;
    if (fscanf(file, "%lld %lld", &ran, &waited) != 2) waited = 0;
    fclose(file);
    return waited;
}

static unsigned slot(int64_t ns) {
    int power = 63 - __builtin_clzll((uint64_t)ns | 32);
    return (unsigned)((power - 5) * 32 + (ns >> (power - 5)));
}

static double latency_us(double share) {
    uint64_t all = 0, seen = 0;
    for (unsigned i = 0; i < sizeof latency / sizeof *latency; i++) all += latency[i];
    for (unsigned i = 0; i < sizeof latency / sizeof *latency; i++) {
        seen += latency[i];
        if (all && seen >= share * all) return (double)(i < 64 ? i : (uint64_t)(32 + i % 32) << (i / 32 - 1)) / 1e3;
    }
    return 0;
}

/* Each connection comes from another address of 127/8: the ports of one would
 * be used up by closed connections within seconds. */
static void spread(int fd) {
    static unsigned turn;
    int on = 1;
    struct sockaddr_in from = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (1 + turn++ % 200) * 256);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&from, sizeof from)) perror("bind");
}

static int start_connect(int number, int blocking) {
    int on = 1, outcome, kind = SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK);
    int fd = socket(want.path ? AF_UNIX : AF_INET, kind, 0);
    if (fd < 0) return -1;
    if (want.path) {
        struct sockaddr_un to = {.sun_family = AF_UNIX};
        snprintf(to.sun_path, sizeof to.sun_path, "%s", want.path);
        outcome = connect(fd, (struct sockaddr *)&to, sizeof to);
    } else {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        to.sin_port = htons((uint16_t)want.ports[number % want.port_count]);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (want.per_link) spread(fd);
        outcome = connect(fd, (struct sockaddr *)&to, sizeof to);
    }
    if (outcome && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

static void next_message(struct link *link) {
    link->sent = link->got = 0;
    link->message = pattern + (link->number * 7 + link->replies * 13 + opened) % SHIFTS;
    link->checked = link->replies < CHECKED || link->replies % 64 == 0;
}

static void open_link(struct link *link) {
    link->started = now();
    link->replies = 0;
    link->session = NULL;
    link->fd = start_connect(link->number, 0);
    if (link->fd < 0) {
        lost++;
        link->phase = GONE;
        return;
    }
    opened++;
    link->phase = CONNECTING;
    if (context) {
        link->session = tls.new(context);
        tls.set_fd(link->session, link->fd);
        tls.as_client(link->session);
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = link};
    epoll_ctl(queue, EPOLL_CTL_ADD, link->fd, &event);
}

static void close_link(struct link *link, int reset) {
    if (reset) {
        struct linger abrupt = {.l_onoff = 1};
        setsockopt(link->fd, SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt);
        resets++;
    }
    if (link->session) tls.free(link->session);
    close(link->fd);
    link->phase = GONE;
}

static void lose(struct link *link) {
    lost++;
    close_link(link, 0);
}

/* 1: all of the message is out, 0: the socket is full, -1: broken. */
static int send_rest(struct link *link) {
    while (link->sent < want.size) {
        const char *from = link->message + link->sent;
        size_t left = want.size - link->sent;
        ssize_t done = link->session ? tls.write(link->session, from, (int)left) : send(link->fd, from, left, MSG_NOSIGNAL);
        if (done <= 0) {
            int full = link->session ? tls_would_block(link->session, (int)done) : errno == EAGAIN;
            return full ? 0 : -1;
        }
        link->sent += (size_t)done;
    }
    return 1;
}

/* 1: the whole reply is here, 0: more is to come, -1: broken. */
static int take_reply(struct link *link) {
    while (link->got < want.size) {
        size_t left = want.size - link->got;
        ssize_t done = link->session ? tls.read(link->session, inbox, (int)left) : recv(link->fd, inbox, left, 0);
        if (done <= 0) {
            int empty = done < 0 && (link->session ? tls_would_block(link->session, (int)done) : errno == EAGAIN);
            return empty ? 0 : -1;
        }
        if (link->checked && memcmp(inbox, link->message + link->got, (size_t)done)) wrong++;
        link->got += (size_t)done;
    }
    return 1;
}

/* A reply is complete: the next message, on this connection or on a new one. */
static void replied(struct link *link) {
    last_reply = now();
    replies++;
    link->replies++;
    if (counting) {
        counted++;
        latency[slot(last_reply - link->started)]++;
    }
    if (!want.per_link || link->replies < want.per_link) {
        link->started = last_reply;
        next_message(link);
        return;
    }
    int reset = want.reset_every && opened % want.reset_every == 0;
    if (reset) {
        next_message(link); /* broken off with a request on its way */
        send_rest(link);
    }
    close_link(link, reset);
    open_link(link);
}

static int finish_connect(struct link *link, unsigned ready) {
    int error = 0;
    socklen_t size = sizeof error;
    if (!(ready & (EPOLLOUT | EPOLLERR | EPOLLHUP))) return 0;
    getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) return -1;
    link->phase = link->session ? SHAKING : TALKING;
    if (!want.per_link) link->started = now(); /* with reconnects, connecting is part of the work */
    next_message(link);
    return 1;
}

static int shake(struct link *link) {
    int outcome = tls.shake(link->session);
    if (outcome == 1) {
        link->phase = TALKING;
        return 1;
    }
    return tls_would_block(link->session, outcome) ? 0 : -1;
}

/* Takes a connection as far as it gets without waiting. */
static void advance(struct link *link, unsigned ready) {
    int state = 1;
    if (link->phase == CONNECTING) state = finish_connect(link, ready);
    if (state > 0 && link->phase == SHAKING) state = shake(link);
    while (state > 0 && link->phase == TALKING) {
        state = send_rest(link);
        /* a large reply begins before all is sent: the server may wait for us to read */
        if (state >= 0) state = take_reply(link);
        if (state <= 0) break;
        int fd = link->fd;
        replied(link);
        if (link->phase != TALKING || link->fd != fd) return;
    }
    if (state < 0) lose(link);
}

static void report(double seconds, int64_t cpu, int64_t waited, const char *end) {
    printf("{\"event\": \"result\", \"end\": \"%s\", \"requests\": %ld, \"counted\": %ld, \"seconds\": %.6f, \"cpu_ns\": %lld, "
           "\"waited_ns\": %lld, \"opened\": %ld, \"resets\": %ld, \"lost\": %ld, \"wrong\": %ld, "
           "\"p50_us\": %.2f, \"p99_us\": %.2f}\n",
           end, replies, counted, seconds, (long long)cpu, (long long)waited, opened, resets, lost, wrong, latency_us(0.5),
           latency_us(0.99));
    fflush(stdout);
}

static int drive(void) {
    struct link *links = calloc((size_t)want.links, sizeof *links);
    struct epoll_event events[BATCH];
    int64_t begin = now(), open_at = begin + (int64_t)(want.warm * SECOND), end_at = open_at + (int64_t)(want.seconds * SECOND);
    int64_t start = 0, cpu = 0, waited = 0, time;
    const char *end = "complete";
    last_reply = begin;
    for (int i = 0; i < want.links; i++) {
        links[i].number = i;
        open_link(&links[i]);
    }
    for (;;) {
        time = now();
        if (!counting && time >= open_at) {
            counting = 1;
            start = time;
            cpu = cpu_of(want.pid);
            waited = queued(want.pid);
        }
        if (want.requests ? replies >= want.requests : time >= end_at) break;
        if (time - last_reply > 10 * SECOND || lost >= want.links) {
            end = "stalled";
            break;
        }
        int count = epoll_wait(queue, events, BATCH, want.spin ? 0 : 100);
        for (int i = 0; i < count; i++) advance(events[i].data.ptr, events[i].events);
    }
    report(counting ? (double)(now() - start) / 1e9 : 0, cpu_of(want.pid) - cpu, queued(want.pid) - waited, end);
    for (int i = 0; i < want.links; i++)
        if (links[i].phase != GONE) close_link(&links[i], 0);
    free(links);
    return 0;
}

/* Reads numbers from standard input, and has that many idle connections open
 * after each; every one has exchanged a message. */
static int idle(void) {
    int number, open = 0;
    struct timeval patience = {.tv_sec = 10};
    while (scanf("%d", &number) == 1) {
        for (; open < number; open++) {
            int fd = start_connect(open, 1);
            if (fd < 0) break;
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
            size_t got = 0;
            ssize_t done = send(fd, pattern, want.size, MSG_NOSIGNAL);
            while (done > 0 && got < want.size && (done = recv(fd, inbox, want.size, 0)) > 0) got += (size_t)done;
            if (got < want.size) break;
        }
        printf("{\"event\": \"open\", \"count\": %d, \"error\": \"%s\"}\n", open, open < number ? strerror(errno) : "");
        fflush(stdout);
    }
    return 0;
}

/* The core that is not measured stays busy: where two cores are threads of one
 * physical core, the measured one would else run at a speed that depends on
 * what else happens to go on. */
static int hold(void) {
    for (int64_t end = now() + 120 * SECOND; now() < end;)
        for (volatile int i = 0; i < 20000; i++) {
        }
    return 0;
}

static void settle(int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    if (sched_setaffinity(0, sizeof set, &set)) perror("sched_setaffinity");
}

/* How long a cache line takes from this core to another one and back. Sockets
 * between processes on cores that share a cache cost a fraction of what they
 * cost between distant ones, and a hypervisor moves its virtual cores. */
static int distance(int core) {
    enum { ROUNDS = 1000, SLICES = 15 };
    atomic_int *line = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (line == MAP_FAILED) return 1;
    pid_t child = fork();
    if (child < 0) return 1;
    if (!child) {
        settle(core);
        for (int turn = 1; turn < 2 * ROUNDS * SLICES; turn += 2) {
            while (atomic_load(line) != turn) {
            }
            atomic_store(line, turn + 1);
        }
        _exit(0);
    }
    int64_t best = INT64_MAX, start = now();
    for (int round = 0; round < ROUNDS * SLICES; round++) {
        atomic_store(line, 2 * round + 1);
        while (atomic_load(line) != 2 * round + 2) {
        }
        if (round % ROUNDS != ROUNDS - 1) continue;
        int64_t time = now();
        if (time - start < best) best = time - start;
        start = time;
    }
    waitpid(child, NULL, 0);
    printf("{\"event\": \"distance\", \"ns\": %.1f}\n", (double)best / ROUNDS);
    return 0;
}

static int usage(void) {
    fprintf(stderr, "load echo|idle|hold|distance\n"
                    "  --core N: the other one (distance)\n"
                    "  --port N (repeatable: taken in turn) | --unix PATH    --tls\n"
                    "  --links N --size BYTES --per-link REPLIES --reset-every CONNECTIONS\n"
                    "  --seconds S --warm S | --requests N    --pid SERVER --spin\n");
    return 2;
}

static int parse(int argc, char **argv) {
    static const struct option options[] = {
        {"port", 1, NULL, 'p'},     {"unix", 1, NULL, 'u'},    {"tls", 0, NULL, 't'},  {"links", 1, NULL, 'l'},
        {"size", 1, NULL, 's'},     {"per-link", 1, NULL, 'r'}, {"reset-every", 1, NULL, 'x'},
        {"seconds", 1, NULL, 'd'},  {"warm", 1, NULL, 'w'},    {"requests", 1, NULL, 'n'},
        {"pid", 1, NULL, 'i'},      {"core", 1, NULL, 'c'},     {"spin", 0, NULL, 'b'},    {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) switch (option) {
            case 'p':
                if (want.port_count == PORTS) return 0;
                want.ports[want.port_count++] = atoi(optarg);
                break;
            case 'u': want.path = optarg; break;
            case 't': want.with_tls = 1; break;
            case 'l': want.links = atoi(optarg); break;
            case 's': want.size = (size_t)atol(optarg); break;
            case 'r': want.per_link = atol(optarg); break;
            case 'x': want.reset_every = atol(optarg); break;
            case 'd': want.seconds = atof(optarg); break;
            case 'w': want.warm = atof(optarg); break;
            case 'n': want.requests = atol(optarg); break;
            case 'i': want.pid = atoi(optarg); break;
            case 'c': want.core = atoi(optarg); break;
            case 'b': want.spin = 1; break;
            default: return 0;
        }
    return optind == argc - 1 && want.links > 0 && want.size > 0;
}

int main(int argc, char **argv) {
    struct rlimit files;
    if (!parse(argc, argv)) return usage();
    const char *mode = argv[optind];
    if (!strcmp(mode, "hold")) return hold();
    if (!strcmp(mode, "distance")) return distance(want.core);
    if (!want.path && !want.port_count) return usage();
    signal(SIGPIPE, SIG_IGN);
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    pattern = malloc(want.size + SHIFTS);
    inbox = malloc(want.size);
    if (!pattern || !inbox) return 1;
    uint32_t random = 1;
    for (size_t i = 0; i < want.size + SHIFTS; i++) {
        random = random * 1103515245 + 12345;
        pattern[i] = (char)(random >> 16);
    }
    if (want.with_tls) {
        const char *missing = tls_load();
        if (missing) {
            printf("{\"event\": \"unsupported\", \"why\": \"%s\"}\n", missing);
            return 0;
        }
        context = tls_context(tls.client_method());
    }
    queue = epoll_create1(EPOLL_CLOEXEC);
    if (!strcmp(mode, "echo")) return drive();
    if (!strcmp(mode, "idle")) return idle();
    return usage();
}
