// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocations of the kernel that fail, one at a time.
 */

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "array_count.h"
#include "dmabuf.h"
#include "fail_nth.h"
#include "text_file.h"

#define DEBUGFS		"/sys/kernel/debug/"
#define CACHE_FILTER	DEBUGFS "failslab/cache-filter"
#define CACHES		"/sys/kernel/slab/*/failslab"
#define MAX_WORKERS	64

/* Nothing fails by chance, and what is said to fail may be any allocation. */
static struct {
	const char *file;
	const char *value;
	char before[32];
} settings[] = {
	{ DEBUGFS "failslab/probability", "0" },
	{ DEBUGFS "failslab/ignore-gfp-wait", "N" },
	{ CACHE_FILTER, "N" },
	{ DEBUGFS "failslab/verbose", "0" },
	{ DEBUGFS "fail_page_alloc/probability", "0" },
	{ DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N" },
	{ DEBUGFS "fail_page_alloc/min-order", "0" },
	{ DEBUGFS "fail_page_alloc/verbose", "0" },
};

/* Caches of debugging tools: if they fail, there is less to be seen. */
static const char *const tools[] = {
	"/kmemleak_object/", "/kmemleak_scan_area/", "/debug_objects_cache/",
};

static int own = -1;
static int workers[MAX_WORKERS];
static unsigned int worker_count;

static pid_t first_process;

static void __attribute__((constructor)) remember_settings(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_COUNT(settings); i++) {
		if (read_text(settings[i].file, settings[i].before, sizeof(settings[i].before)))
			return;
	}
	first_process = getpid();
}

static void __attribute__((destructor)) give_settings_back(void)
{
	if (first_process == getpid())
		fail_stop();
}

/*
 * Lets all caches fail but those of debugging tools, or none. A cache that stands for several ones
 * does not let itself be chosen.
 */
static int choose_caches(bool on)
{
	glob_t found;
	size_t i, j;
	int ret = 0;

	if (glob(CACHES, 0, NULL, &found))
		return -ENOENT;
	for (i = 0; i < found.gl_pathc && !ret; i++) {
		bool tool = false;

		for (j = 0; j < ARRAY_COUNT(tools); j++)
			tool |= !!strstr(found.gl_pathv[i], tools[j]);
		if (!tool)
			ret = write_text(found.gl_pathv[i], on ? "1" : "0");
	}
	globfree(&found);
	return ret;
}

const char *fail_start(void)
{
	static char reason[PATH_MAX + 64];
	char filter[8];
	unsigned int i;

	/* Otherwise it does not matter what the caches say, and there is nothing to put back. */
	if (!read_text(CACHE_FILTER, filter, sizeof(filter)) && filter[0] == 'Y')
		return "caches are made to fail already: " CACHE_FILTER " is on";
	for (i = 0; i < ARRAY_COUNT(settings); i++) {
		if (!write_text(settings[i].file, settings[i].value))
			continue;
		snprintf(reason, sizeof(reason),
			 "no %s: CONFIG_FAILSLAB and CONFIG_FAIL_PAGE_ALLOC are needed, and debugfs",
			 settings[i].file);
		return reason;
	}
	/* Without it, tools may fail, too, and the sweeps take twice as long. */
	if (!choose_caches(true))
		write_text(CACHE_FILTER, "Y");
	own = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	return own < 0 ? "no /proc/thread-self/fail-nth: CONFIG_FAULT_INJECTION is needed" : NULL;
}

static void forget_workers(void)
{
	unsigned int i;

	for (i = 0; i < worker_count; i++)
		close(workers[i]);
	worker_count = 0;
}

void fail_stop(void)
{
	unsigned int i;

	close_fd(&own);
	forget_workers();
	choose_caches(false);
	for (i = 0; i < ARRAY_COUNT(settings); i++)
		if (write_text(settings[i].file, settings[i].before))
			fprintf(stderr, "# %s cannot be put back\n", settings[i].file);
}

static int set_nth(int fd, unsigned int nth)
{
	char text[16];
	const int len = snprintf(text, sizeof(text), "%u", nth);

	return pwrite(fd, text, len, 0) == len ? 0 : -errno;
}

/* It counts down to 0, at which it fails. */
static int end_nth(int fd)
{
	char text[16];
	const ssize_t len = pread(fd, text, sizeof(text) - 1, 0);
	int ret;

	if (len <= 0)
		return -EIO;
	text[len] = '\0';
	ret = set_nth(fd, 0);
	return ret ? ret : !strtoul(text, NULL, 10);
}

unsigned int fail_stride(void)
{
	const char *const stride = getenv("FAIL_STRIDE");

	return stride ? strtoul(stride, NULL, 10) : 1;
}

int fail_begin(unsigned int nth)
{
	return set_nth(own, nth);
}

int fail_end(void)
{
	return end_nth(own);
}

/* Those of a processor, at normal priority, where schedule_work() puts its work: kworker/0:1 */
static bool is_worker(const char *comm)
{
	unsigned int cpu, number;
	char next = '\0';

	return sscanf(comm, "kworker/%u:%u%c", &cpu, &number, &next) >= 2 && next != 'H';
}

int fail_workers_find(void)
{
	char path[64], comm[64];
	glob_t found;
	size_t i;

	forget_workers();
	if (glob("/proc/[0-9]*", 0, NULL, &found))
		return -ENOENT;
	for (i = 0; i < found.gl_pathc && worker_count < MAX_WORKERS; i++) {
		/* A process may be gone by now. */
		snprintf(path, sizeof(path), "%s/comm", found.gl_pathv[i]);
		if (read_text(path, comm, sizeof(comm)) || !is_worker(comm))
			continue;
		snprintf(path, sizeof(path), "%s/fail-nth", found.gl_pathv[i]);
		workers[worker_count] = open(path, O_RDWR | O_CLOEXEC);
		worker_count += workers[worker_count] >= 0;
	}
	globfree(&found);
	return worker_count ? 0 : -ESRCH;
}

int fail_workers_begin(unsigned int nth)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < worker_count && !ret; i++) {
		ret = set_nth(workers[i], nth);
		/* A worker that has ended cannot fail. */
		if (ret == -ESRCH)
			ret = 0;
	}
	return ret;
}

int fail_workers_end(void)
{
	unsigned int i;
	int hit = 0;

	for (i = 0; i < worker_count; i++)
		hit |= end_nth(workers[i]) == 1;
	return hit;
}
