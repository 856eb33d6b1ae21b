/* Preloaded into a process, it counts the calls that make files durable below one folder, and does harm at the N-th.

Counted are open for writing, write, lock, sync, rename, link, unlink, mkdir and truncate, in whichever thread and by whichever
library they are made: Python and SQLite alike call libc for them. Until faults_arm is called nothing is counted.
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum action { LOG, KILL_BEFORE, KILL_AFTER, FAIL, SHORT, TORN, STOP };
enum then { GO, DIE, REFUSE, HALF, HALF_AND_DIE };

static char root[PATH_MAX], kinds[256];
static size_t root_length;
static long nth;
static int action, error, forever, log_file = -1;
static atomic_long count;
static atomic_int armed;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

/* Harm the nth (from 1) call whose kind is in `only`, words that each end in a blank, or any if it is empty. `always`:
   and every one after it. log_to: a descriptor that hears of each counted call, or -1. */
void faults_arm(const char *folder, const char *only, long number, int what, int with, int always, int log_to) {
    root_length = (size_t)snprintf(root, sizeof root, "%s", folder);
    snprintf(kinds, sizeof kinds, "%s", only);
    nth = number, action = what, error = with, forever = always, log_file = log_to;
    count = 0;
    armed = 1;
}

static void die(int sign) {
    kill(getpid(), sign);
    while (sign == SIGKILL)
        pause();
}

static int below(const char *path) {
    return !strncmp(path, root, root_length) && (path[root_length] == '/' || path[root_length] == '\0');
}

/* What is to become of a call of this kind on `path`; counts it. */
static enum then at(const char *kind, const char *path) {
    char word[32], line[PATH_MAX + 64];
    if (!armed || !below(path))
        return GO;
    snprintf(word, sizeof word, "%s ", kind);
    if (*kinds && !strstr(kinds, word))
        return GO;
    /* A thread that stops the process lets no other past here before the process stands. */
    if (action == STOP)
        pthread_mutex_lock(&gate);
    long number = ++count;
    if (action == STOP && number == nth)
        die(SIGSTOP);
    if (action == STOP)
        pthread_mutex_unlock(&gate);
    if (log_file >= 0) {
        int length = snprintf(line, sizeof line, "%s %s\n", kind, path + root_length);
        syscall(SYS_write, log_file, line, (size_t)length);
    }
    if (!nth || (forever ? number < nth : number != nth))
        return GO;
    switch (action) {
    case KILL_BEFORE: die(SIGKILL);
    case STOP: return GO;
    case KILL_AFTER: return DIE;
    case FAIL: errno = error; return REFUSE;
    case SHORT: return strcmp(kind, "write") ? GO : HALF;
    case TORN: return strcmp(kind, "write") ? DIE : HALF_AND_DIE;
    default: return GO;
    }
}

static const char *of_file(int file, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = '\0';
    return path;
}

static const char *joined(int folder, const char *name, char *path) {
    char start[PATH_MAX];
    if (*name == '/')
        return name;
    if (folder == AT_FDCWD ? !getcwd(start, sizeof start) : !*of_file(folder, start))
        return "";
    return snprintf(path, PATH_MAX, "%s/%s", start, name) < PATH_MAX ? path : "";
}

/* The next function of that name, and the call itself with what is to become of it. */
#define NEXT(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))
#define AROUND(type, kind, path, call)                                                                                 \
    char buffer[PATH_MAX];                                                                                             \
    int before = errno;                                                                                                \
    enum then then = armed ? at(kind, path) : GO;                                                                      \
    if (then == REFUSE)                                                                                                \
        return -1;                                                                                                     \
    errno = before;                                                                                                    \
    type result = call;                                                                                                \
    if (then == DIE || then == HALF_AND_DIE)                                                                           \
        die(SIGKILL);                                                                                                  \
    return result;
/* Bytes of a write that are let through: half of them, and one at least. */
#define LET(size) (then == HALF || then == HALF_AND_DIE ? ((size) + 1) / 2 : (size))

#define OPEN(name)                                                                                                     \
    int name(const char *file, int flags, ...) {                                                                       \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                                        \
        va_end(rest);                                                                                                  \
        if (!(flags & (O_CREAT | O_WRONLY | O_RDWR)))                                                                  \
            return NEXT(int, name, const char *, int, ...)(file, flags, mode);                                         \
        AROUND(int, "open", joined(AT_FDCWD, file, buffer),                                                            \
               NEXT(int, name, const char *, int, ...)(file, flags, mode))                                             \
    }
#define OPENAT(name)                                                                                                   \
    int name(int folder, const char *file, int flags, ...) {                                                           \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                                        \
        va_end(rest);                                                                                                  \
        if (!(flags & (O_CREAT | O_WRONLY | O_RDWR)))                                                                  \
            return NEXT(int, name, int, const char *, int, ...)(folder, file, flags, mode);                            \
        AROUND(int, "open", joined(folder, file, buffer),                                                              \
               NEXT(int, name, int, const char *, int, ...)(folder, file, flags, mode))                                \
    }
OPEN(open) OPEN(open64) OPENAT(openat) OPENAT(openat64)

ssize_t write(int file, const void *from, size_t size) {
    AROUND(ssize_t, "write", of_file(file, buffer), NEXT(ssize_t, write, int, const void *, size_t)(file, from, LET(size)))
}
ssize_t writev(int file, const struct iovec *parts, int number) {
    AROUND(ssize_t, "write", of_file(file, buffer),
           NEXT(ssize_t, writev, int, const struct iovec *, int)(file, parts, LET(number)))
}
#define PWRITE(name, offset)                                                                                           \
    ssize_t name(int file, const void *from, size_t size, offset place) {                                              \
        AROUND(ssize_t, "write", of_file(file, buffer),                                                                \
               NEXT(ssize_t, name, int, const void *, size_t, offset)(file, from, LET(size), place))                   \
    }
PWRITE(pwrite, off_t) PWRITE(pwrite64, off64_t)
#define SIZED(name, offset)                                                                                            \
    int name(int file, offset size) {                                                                                  \
        AROUND(int, "truncate", of_file(file, buffer), NEXT(int, name, int, offset)(file, size))                       \
    }
SIZED(ftruncate, off_t) SIZED(ftruncate64, off64_t)
static const char *sync_of(int file) {
    struct stat state;
    return !fstat(file, &state) && S_ISDIR(state.st_mode) ? "syncdir" : "sync";
}
#define SYNC(name)                                                                                                     \
    int name(int file) { AROUND(int, sync_of(file), of_file(file, buffer), NEXT(int, name, int)(file)) }
SYNC(fsync) SYNC(fdatasync)

int flock(int file, int how) { AROUND(int, "lock", of_file(file, buffer), NEXT(int, flock, int, int)(file, how)) }

int rename(const char *from, const char *to) {
    AROUND(int, "rename", joined(AT_FDCWD, to, buffer), NEXT(int, rename, const char *, const char *)(from, to))
}
int renameat(int a, const char *from, int b, const char *to) {
    AROUND(int, "rename", joined(b, to, buffer), NEXT(int, renameat, int, const char *, int, const char *)(a, from, b, to))
}
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    AROUND(int, "rename", joined(b, to, buffer),
           NEXT(int, renameat2, int, const char *, int, const char *, unsigned)(a, from, b, to, flags))
}
int link(const char *from, const char *to) {
    AROUND(int, "link", joined(AT_FDCWD, to, buffer), NEXT(int, link, const char *, const char *)(from, to))
}
int linkat(int a, const char *from, int b, const char *to, int flags) {
    AROUND(int, "link", joined(b, to, buffer),
           NEXT(int, linkat, int, const char *, int, const char *, int)(a, from, b, to, flags))
}
int unlink(const char *file) {
    AROUND(int, "unlink", joined(AT_FDCWD, file, buffer), NEXT(int, unlink, const char *)(file))
}
int unlinkat(int folder, const char *file, int flags) {
    AROUND(int, "unlink", joined(folder, file, buffer), NEXT(int, unlinkat, int, const char *, int)(folder, file, flags))
}
int mkdir(const char *file, mode_t mode) {
    AROUND(int, "mkdir", joined(AT_FDCWD, file, buffer), NEXT(int, mkdir, const char *, mode_t)(file, mode))
}
int mkdirat(int folder, const char *file, mode_t mode) {
    AROUND(int, "mkdir", joined(folder, file, buffer), NEXT(int, mkdirat, int, const char *, mode_t)(folder, file, mode))
}
