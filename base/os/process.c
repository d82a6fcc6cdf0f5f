// SPDX-License-Identifier: Apache-2.0
/* Collects the process metrics from /proc, the control group and getrusage. */
#include "base/os/process.h"

#include "base/os/cgroup.h"
#include "base/os/dir.h"
#include "base/telemetry/log.h"
#include "base/os/thread.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct memory { uint64_t resident, anon, virtual, threads; };

/* The number after "KEY:" in /proc/self/status. */
static void read_status(struct memory *m)
{
    FILE *f = fopen("/proc/self/status", "re");
    if (f == NULL)
        return;
    const struct {
        const char *format;
        uint64_t *to;
    } keys[] = {{"VmRSS: %" SCNu64, &m->resident}, {"RssAnon: %" SCNu64, &m->anon}, {"VmSize: %" SCNu64, &m->virtual},
                {"Threads: %" SCNu64, &m->threads}};
    char line[256];
    while (fgets(line, sizeof line, f))
        for (size_t i = 0; i < LEN(keys); i++)
            (void)!sscanf(line, keys[i].format, keys[i].to);
    fclose(f);
}

static double open_descriptors(void)
{
    DIR *dir = dir_open("/proc/self/fd");
    if (dir == NULL)
        return 0;
    double n = -1; /* the directory's own descriptor */
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

/* Field 22 of /proc/self/stat counts clock ticks since boot; the second field may contain spaces and parentheses. */
static double seconds_from_boot(void)
{
    char text[1024];
    FILE *f = fopen("/proc/self/stat", "re");
    if (f == NULL)
        return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    const char *p = strrchr(text, ')');
    unsigned long long ticks = 0;
    for (int field = 2; p && field < 22; field++)
        p = strchr(p + 1, ' ');
    return p && sscanf(p, "%llu", &ticks) == 1 ? (double)ticks / (double)sysconf(_SC_CLK_TCK) : 0;
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double process_start_seconds(void)
{
    static _Atomic double start; /* computed once, so that wall clock changes do not move it */
    if (start == 0) {
        double at = seconds(CLOCK_REALTIME) - (seconds(CLOCK_BOOTTIME) - seconds_from_boot());
        start = (double)(int64_t)(at * 1000) / 1000;
    }
    return start;
}

uint64_t process_memory(void)
{
    uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE), group = cgroup_memory();
    return group > 0 && group < machine ? group : machine;
}

int process_lowest_free_fd(void)
{
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    return fd;
}

static double cpu_seconds(const struct timeval *t) { return (double)t->tv_sec + (double)t->tv_usec / 1e6; }

/* Bytes read from and written to storage, from /proc/self/io; page cache hits are excluded. */
static void collect_storage_io(struct stats_out *o)
{
    uint64_t read_bytes = 0, written = 0;
    char line[128];
    FILE *f = fopen("/proc/self/io", "re");
    while (f && fgets(line, sizeof line, f)) {
        (void)!sscanf(line, "read_bytes: %" SCNu64, &read_bytes);
        (void)!sscanf(line, "write_bytes: %" SCNu64, &written);
    }
    if (f)
        fclose(f);
    stats_single(o, "process_io_storage_read_bytes_total", STATS_COUNTER, "Bytes read from storage",
                 (double)read_bytes);
    stats_single(o, "process_io_storage_written_bytes_total", STATS_COUNTER, "Bytes written to storage",
                 (double)written);
}

/* Pressure stall information of the control group; 0 when the kernel does not provide it. */
static void collect_pressure(struct stats_out *o)
{
    static const struct { const char *file, *waiting, *stalled; } kinds[] = {
        {"cpu.pressure", "process_pressure_cpu_waiting_seconds_total", "process_pressure_cpu_stalled_seconds_total"},
        {"memory.pressure", "process_pressure_memory_waiting_seconds_total",
         "process_pressure_memory_stalled_seconds_total"},
        {"io.pressure", "process_pressure_io_waiting_seconds_total", "process_pressure_io_stalled_seconds_total"}};
    for (size_t i = 0; i < LEN(kinds); i++) {
        double waiting = 0, stalled = 0;
        cgroup_pressure(kinds[i].file, &waiting, &stalled);
        stats_single(o, kinds[i].waiting, STATS_COUNTER, "Time in which some threads of the control group waited",
                     waiting);
        stats_single(o, kinds[i].stalled, STATS_COUNTER, "Time in which all threads of the control group waited",
                     stalled);
    }
}

static void collect_process(struct stats_out *o)
{
    struct memory m = {0};
    read_status(&m);
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    double user = cpu_seconds(&use.ru_utime), sys = cpu_seconds(&use.ru_stime);
    stats_single(o, "process_cpu_seconds_total", STATS_COUNTER, "CPU time of the process", user + sys);
    stats_single(o, "process_cpu_seconds_user_total", STATS_COUNTER, "CPU time in user mode", user);
    stats_single(o, "process_cpu_seconds_system_total", STATS_COUNTER, "CPU time in the kernel", sys);
    stats_single(o, "process_resident_memory_bytes", STATS_GAUGE, "Resident memory", (double)m.resident * 1024);
    stats_single(o, "process_resident_memory_anon_bytes", STATS_GAUGE, "Resident memory not backed by files",
                 (double)m.anon * 1024);
    stats_single(o, "process_virtual_memory_bytes", STATS_GAUGE, "Virtual memory", (double)m.virtual * 1024);
    stats_single(o, "process_num_threads", STATS_GAUGE, "Threads", (double)m.threads);
    stats_single(o, "process_open_fds", STATS_GAUGE, "Open descriptors", open_descriptors());
    stats_single(o, "process_max_fds", STATS_GAUGE, "Maximum open descriptors", (double)files.rlim_cur);
    stats_single(o, "process_start_time_seconds", STATS_GAUGE, "Start time, Unix seconds", process_start_seconds());
}

/* Dashboards and alerts for vmagent select their jobs by a version that begins with "vmagent". */
static void collect_app(struct stats_out *o)
{
    const struct stats_label version[] = {{"version", STR("vmagent-sluice-" VERSION)}, {"short_version", STR(VERSION)}};
    stats_family(o, "vm_app_version", STATS_GAUGE, "Always 1; the version is in the labels");
    stats_value(o, "vm_app_version", version, LEN(version), 1);
    double start = process_start_seconds(), up = seconds(CLOCK_REALTIME) - start;
    stats_single(o, "vm_app_start_timestamp", STATS_GAUGE, "Start time, Unix seconds", (double)(int64_t)start);
    stats_single(o, "vm_app_uptime_seconds", STATS_GAUGE, "Seconds since the start",
                 (double)(int64_t)(up > 0 ? up : 0));
    stats_single(o, "vm_available_cpu_cores", STATS_GAUGE, "CPU cores available to the process", thread_cores());
    stats_single(o, "process_cpu_cores_available", STATS_GAUGE, "CPU cores available to the process", thread_cores());
    stats_single(o, "vm_available_memory_bytes", STATS_GAUGE, "Memory available to the process",
                 (double)process_memory());
}

static void collect_log(struct stats_out *o)
{
    stats_family(o, "vm_log_messages_total", STATS_COUNTER, "Log lines, printed or not");
    for (enum log_level level = 0; level < LOG_LEVELS; level++) {
        const struct stats_label labels[] = {{"app_version", STR("vmagent-sluice-" VERSION)},
                                             {"level", str_of(log_level_name(level))}};
        stats_value(o, "vm_log_messages_total", labels, LEN(labels), (double)log_count(level));
    }
    stats_family(o, "sluice_log_messages_total", STATS_COUNTER, "Old name of vm_log_messages_total");
    for (enum log_level level = 0; level < LOG_LEVELS; level++) {
        const struct stats_label labels[] = {{"level", str_of(log_level_name(level))}};
        stats_value(o, "sluice_log_messages_total", labels, LEN(labels), (double)log_count(level));
    }
    stats_single(o, "sluice_log_dropped_total", STATS_COUNTER, "Log lines dropped because stderr was not read in time",
                 (double)log_dropped());
}

void process_collect(struct stats_out *o, void *arg UNUSED)
{
    collect_process(o);
    collect_storage_io(o);
    collect_pressure(o);
    collect_app(o);
    collect_log(o);
}
