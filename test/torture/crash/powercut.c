/* Power cut: a preloaded library that keeps a second copy of a store, and in it only what a disk would have kept.
 *
 * Writes to STORE/data.mdb go to that file as ever, so that whoever maps it reads them; the copy in the folder DISK gets them at the next fsync or
 * fdatasync, at once through a descriptor opened with O_DSYNC or O_SYNC, or early and in part, sector by sector, as kernels write back
 * when they like. A new file may have its name in DISK at once, as kernels write folders back when they like too, and has it for sure once its
 * folder and the folder above have been synced. It may be made below STORE/new-*, and linked to its name when it is whole. When the process
 * is killed, DISK is the disk after the power cut.
 *
 * Environment: POWERCUT_STORE, POWERCUT_DISK (absolute paths), POWERCUT_SEED. With POWERCUT_AT=N the power fails at the Nth write, sync or
 * link: the process is killed. With POWERCUT_FAULT=eio:N or hang:N the Nth sync of the file, and
 * each one after it, fails with EIO or never returns. What this file does not model ends the process with a
 * sentence: a proof must not go blind.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { maxDescriptors = 4096, sectorBytes = 512, maxRanges = 1 << 20 };
enum role { NONE = 0, DATA, DATA_SYNC, FOLDER, PARENT };
struct range { off_t at; size_t length; };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char roles[maxDescriptors];
static char store[PATH_MAX], parent[PATH_MAX], dataPath[PATH_MAX], diskPath[PATH_MAX], unnamedPath[PATH_MAX];
static int disk = -1, readable = -1, linked, folderSynced, parentSynced, named;
static struct range *ranges;
static size_t rangeCount;
static uint64_t randomState;
static const char *fault = "";
static unsigned long faultAt, syncs, cutAt, steps;

static ssize_t (*realPwrite)(int, const void *, size_t, off_t);
static ssize_t (*realWrite)(int, const void *, size_t);
static ssize_t (*realWritev)(int, const struct iovec *, int);
static int (*realOpen)(const char *, int, ...);
static int (*realClose)(int);
static int (*realFsync)(int);
static int (*realFdatasync)(int);
static void *(*realMmap)(void *, size_t, int, int, int, off_t);
static int (*realFtruncate)(int, off_t);
static int (*realLink)(const char *, const char *);

static void die(const char *why) {
  dprintf(2, "powercut: %s\n", why);
  abort();
}

static void *find(const char *name) {
  void *symbol = dlsym(RTLD_NEXT, name);
  if (symbol == NULL) die(name);
  return symbol;
}

__attribute__((constructor)) static void begin(void) {
  realPwrite = find("pwrite64");
  realWrite = find("write");
  realWritev = find("writev");
  realOpen = find("open64");
  realClose = find("close");
  realFsync = find("fsync");
  realFdatasync = find("fdatasync");
  realMmap = find("mmap64");
  realFtruncate = find("ftruncate64");
  realLink = find("link");
  const char *from = getenv("POWERCUT_STORE"), *to = getenv("POWERCUT_DISK"), *seed = getenv("POWERCUT_SEED");
  if (from == NULL || to == NULL || strlen(from) + strlen(to) > PATH_MAX - 32) return;
  strcpy(store, from);
  strcpy(parent, from);
  char *slash = strrchr(parent, '/');
  if (slash == NULL || slash == parent) die("POWERCUT_STORE must be an absolute path below a folder");
  *slash = 0;
  snprintf(dataPath, PATH_MAX, "%s/data.mdb", store);
  snprintf(diskPath, PATH_MAX, "%s/data.mdb", to);
  snprintf(unnamedPath, PATH_MAX, "%s/unnamed", to);
  randomState = 0x9e3779b97f4a7c15u * (1 + strtoull(seed == NULL ? "1" : seed, NULL, 10));
  if (getenv("POWERCUT_AT") != NULL) cutAt = strtoul(getenv("POWERCUT_AT"), NULL, 10);
  if (getenv("POWERCUT_FAULT") != NULL) fault = getenv("POWERCUT_FAULT");
  faultAt = strchr(fault, ':') == NULL ? 0 : strtoul(strchr(fault, ':') + 1, NULL, 10);
  ranges = malloc(maxRanges * sizeof *ranges);
  if (ranges == NULL) die("out of memory");
}

/* xorshift64* */
static uint64_t draw(uint64_t below) {
  randomState ^= randomState >> 12;
  randomState ^= randomState << 25;
  randomState ^= randomState >> 27;
  return (randomState * 0x2545f4914f6cdd1du >> 33) % below;
}

static enum role roleOf(int fd) {
  return fd < 0 || fd >= maxDescriptors ? NONE : roles[fd];
}

static void toDisk(const char *bytes, size_t length, off_t at);

/* As a disk writes that is interrupted, and a kernel that writes back early: some sectors of it. */
static void partToDisk(const char *bytes, size_t length, off_t at) {
  for (size_t from = 0; from < length; from += sectorBytes) {
    size_t part = length - from < sectorBytes ? length - from : sectorBytes;
    if (draw(3) != 0) toDisk(bytes + from, part, at + from);
  }
}

/* Called with the lock held, before the act itself; what is written through to the disk is cut off in the middle. */
static void step(int fd, const char *bytes, size_t length, off_t at) {
  if (cutAt == 0 || ++steps != cutAt) return;
  if (bytes != NULL && roleOf(fd) == DATA_SYNC) partToDisk(bytes, length, at);
  kill(getpid(), SIGKILL);
}

static void toDisk(const char *bytes, size_t length, off_t at) {
  while (length > 0) {
    ssize_t done = realPwrite(disk, bytes, length, at);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) die("cannot write to the copy");
    bytes += done;
    at += done;
    length -= done;
  }
}

static void copyRange(struct range range) {
  char buffer[1 << 16];
  while (range.length > 0) {
    ssize_t got = pread64(readable, buffer, range.length < sizeof buffer ? range.length : sizeof buffer, range.at);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) die("cannot read the store's file");
    toDisk(buffer, got, range.at);
    range.at += got;
    range.length -= got;
  }
}

/* Called with the lock held, after the write itself. */
static void wrote(int fd, const char *bytes, size_t length, off_t at) {
  if (roleOf(fd) == DATA_SYNC) {
    toDisk(bytes, length, at);
    return;
  }
  if (rangeCount == maxRanges) die("too many writes without a sync");
  ranges[rangeCount++] = (struct range){at, length};
  if (draw(4) != 0) return;
  partToDisk(bytes, length, at);
}

static ssize_t positioned(int fd, const void *bytes, size_t length, off_t at) {
  if (roleOf(fd) != DATA && roleOf(fd) != DATA_SYNC) return realPwrite(fd, bytes, length, at);
  pthread_mutex_lock(&lock);
  step(fd, bytes, length, at);
  ssize_t done = realPwrite(fd, bytes, length, at);
  int error = errno;
  if (done > 0) wrote(fd, bytes, done, at);
  pthread_mutex_unlock(&lock);
  errno = error;
  return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return positioned(fd, bytes, length, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) { return positioned(fd, bytes, length, at); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
  if (roleOf(fd) != DATA && roleOf(fd) != DATA_SYNC) return realWritev(fd, parts, count);
  off_t at = lseek64(fd, 0, SEEK_CUR);
  ssize_t all = 0;
  for (int i = 0; i < count; i++) {
    ssize_t done = positioned(fd, parts[i].iov_base, parts[i].iov_len, at + all);
    if (done < 0) return all > 0 ? all : done;
    all += done;
    if ((size_t)done < parts[i].iov_len) break;
  }
  lseek64(fd, at + all, SEEK_SET);
  return all;
}

ssize_t write(int fd, const void *bytes, size_t length) {
  if (roleOf(fd) != DATA && roleOf(fd) != DATA_SYNC) return realWrite(fd, bytes, length);
  struct iovec one = {(void *)bytes, length};
  return writev(fd, &one, 1);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
  (void)parts, (void)count, (void)at, (void)fd;
  die("pwritev is not modelled");
  return -1;
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) { return pwritev(fd, parts, count, at); }

static void name(int early) {
  if (named || disk < 0 || !linked || !(early || (folderSynced && parentSynced))) return;
  if (rename(unnamedPath, diskPath) != 0) die("cannot name the copy");
  named = 1;
}

static int synced(int fd, int (*real)(int)) {
  enum role role = roleOf(fd);
  if (role == NONE) return real(fd);
  if (role == FOLDER || role == PARENT) {
    pthread_mutex_lock(&lock);
    step(-1, NULL, 0, 0);
    if (role == FOLDER) folderSynced = 1;
    else parentSynced = 1;
    name(0);
    pthread_mutex_unlock(&lock);
    return 0;
  }
  /* A disk takes its time: what is acknowledged meanwhile is acknowledged too early. */
  pthread_mutex_lock(&lock);
  step(-1, NULL, 0, 0);
  struct timespec pause = {0, draw(3000000)};
  size_t count = rangeCount;
  int fails = faultAt > 0 && ++syncs >= faultAt;
  pthread_mutex_unlock(&lock);
  while (fails && fault[0] == 'h') sleep(1000);
  if (fails) {
    errno = EIO;
    return -1;
  }
  nanosleep(&pause, NULL);
  pthread_mutex_lock(&lock);
  for (size_t i = 0; i < count && i < rangeCount; i++) copyRange(ranges[i]);
  if (count > rangeCount) count = rangeCount;
  memmove(ranges, ranges + count, (rangeCount - count) * sizeof *ranges);
  rangeCount -= count;
  pthread_mutex_unlock(&lock);
  return 0;
}

int fsync(int fd) { return synced(fd, realFsync); }
int fdatasync(int fd) { return synced(fd, realFdatasync); }

/* STORE/new-.../data.mdb */
static int isNew(const char *path) {
  size_t length = strlen(store), all = strlen(path), end = strlen("/data.mdb");
  return all > length + end && strncmp(path, store, length) == 0 && strncmp(path + length, "/new-", 5) == 0
    && strcmp(path + all - end, "/data.mdb") == 0;
}

int link(const char *from, const char *to) {
  if (disk < 0 || !isNew(from) || strcmp(to, dataPath) != 0) return realLink(from, to);
  pthread_mutex_lock(&lock);
  step(-1, NULL, 0, 0);
  int done = realLink(from, to), error = errno;
  if (done == 0) {
    linked = 1;
    folderSynced = 0;
    name(draw(2));
  }
  pthread_mutex_unlock(&lock);
  errno = error;
  return done;
}

static void opened(int fd, const char *path, int flags) {
  if (fd < 0 || fd >= maxDescriptors || store[0] == 0) return;
  pthread_mutex_lock(&lock);
  roles[fd] = NONE;
  if (strcmp(path, dataPath) == 0 || isNew(path)) {
    roles[fd] = flags & (O_SYNC | O_DSYNC) ? DATA_SYNC : DATA;
    if (disk < 0) {
      disk = realOpen(diskPath, O_RDWR | O_CLOEXEC);
      named = disk >= 0;
      if (disk < 0) disk = realOpen(unnamedPath, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
      readable = realOpen(path, O_RDONLY | O_CLOEXEC);
      if (disk < 0 || readable < 0) die("cannot open the copy");
      linked = !isNew(path);
      name(draw(2));
    }
  } else if (strcmp(path, store) == 0) roles[fd] = FOLDER;
  else if (strcmp(path, parent) == 0) roles[fd] = PARENT;
  pthread_mutex_unlock(&lock);
}

static int openWith(const char *path, int flags, mode_t mode) {
  int fd = realOpen(path, flags, mode);
  int error = errno;
  opened(fd, path, flags);
  errno = error;
  return fd;
}

#define MODE_OF(flags)                                \
  mode_t mode = 0;                                    \
  if ((flags) & (O_CREAT | __O_TMPFILE)) {            \
    va_list rest;                                     \
    va_start(rest, flags);                            \
    mode = va_arg(rest, mode_t);                      \
    va_end(rest);                                     \
  }

int open(const char *path, int flags, ...) {
  MODE_OF(flags)
  return openWith(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
  MODE_OF(flags)
  return openWith(path, flags | O_LARGEFILE, mode);
}

int close(int fd) {
  if (fd >= 0 && fd < maxDescriptors) roles[fd] = NONE;
  return realClose(fd);
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t at) {
  if (roleOf(fd) != NONE && (protection & PROT_WRITE) && (flags & MAP_SHARED)) die("the store is mapped for writing: not modelled");
  return realMmap(address, length, protection, flags, fd, at);
}
void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t at) {
  return mmap64(address, length, protection, flags, fd, at);
}

int ftruncate64(int fd, off64_t length) {
  if (roleOf(fd) == DATA || roleOf(fd) == DATA_SYNC) die("ftruncate is not modelled");
  return realFtruncate(fd, length);
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }
