// SPDX-License-Identifier: BSD-3-Clause
#include "eal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

// ---- what the machine has ----

static uint32_t read_number(const char *path)
{
	FILE *f = fopen(path, "re");
	unsigned long n = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%lu", &n) != 1)
		n = 0;
	fclose(f);
	return (uint32_t)n;
}

static uint32_t free_hugepages_mb(void)
{
	static const char root[] = "/sys/kernel/mm/hugepages";
	DIR *d = opendir(root);
	uint32_t mb = 0;

	if (d == NULL)
		return 0;
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		unsigned long kb;
		char path[320];
		if (sscanf(e->d_name, "hugepages-%lukB", &kb) != 1)
			continue;
		snprintf(path, sizeof(path), "%s/%s/free_hugepages", root, e->d_name);
		mb += read_number(path) * (uint32_t)(kb / 1024);
	}
	closedir(d);
	return mb;
}

void eal_machine_probe(struct eal_machine *m)
{
	CPU_ZERO(&m->allowed);
	if (sched_getaffinity(0, sizeof(m->allowed), &m->allowed) != 0)
		CPU_SET(0, &m->allowed);
	m->free_huge_mb = free_hugepages_mb();
}

// ---- arguments ----

static char *plan_text(struct eal_plan *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static char *plan_text(struct eal_plan *p, const char *fmt, ...)
{
	va_list ap;
	char *at = p->text + p->used;
	size_t cap = sizeof(p->text) - p->used;

	va_start(ap, fmt);
	int n = vsnprintf(at, cap, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= cap)
		return NULL;
	p->used += (size_t)n + 1;
	return at;
}

static bool plan_arg(struct eal_plan *p, char *arg)
{
	if (arg == NULL || p->argc >= EAL_ARGS_MAX)
		return false;
	p->argv[p->argc++] = arg;
	p->argv[p->argc] = NULL;
	return true;
}

// "0-1,4": the cores of a set, for --lcores and for messages.
static void format_cores(const cpu_set_t *set, char *out, size_t cap)
{
	size_t n = 0;

	out[0] = '\0';
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, set))
			continue;
		int last = i;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, set))
			last++;
		const char *comma = n > 0 ? "," : "";
		if (last > i)
			n += (size_t)snprintf(out + n, cap - n, "%s%d-%d", comma, i, last);
		else
			n += (size_t)snprintf(out + n, cap - n, "%s%d", comma, i);
		if (n >= cap)
			return;
		i = last;
	}
}

// The main lcore floats over all cores; each worker is pinned to its own.
static int plan_lcores(struct eal_plan *p, const struct pen_dataplane_config *cfg,
	const struct eal_machine *m, char *err, size_t err_cap)
{
	char cores[512], lcores[2048];
	size_t n;

	format_cores(&m->allowed, cores, sizeof(cores));
	n = (size_t)snprintf(lcores, sizeof(lcores), "0@(%s)", cores);
	for (uint32_t i = 0; i < cfg->nworkers; i++) {
		unsigned core = cfg->worker_core[i];
		if (core >= CPU_SETSIZE || !CPU_ISSET(core, &m->allowed)) {
			snprintf(err, err_cap,
				"worker %u: core %u is not available to this process (it may use "
				"%s)",
				i, core, cores);
			return -EINVAL;
		}
		if (n < sizeof(lcores))
			n += (size_t)snprintf(
				lcores + n, sizeof(lcores) - n, ",%u@%u", eal_lcore_of(i), core);
	}
	if (n >= sizeof(lcores) || !plan_arg(p, plan_text(p, "--lcores=%s", lcores))) {
		snprintf(err, err_cap, "too many workers");
		return -EINVAL;
	}
	return 0;
}

static int plan_memory(struct eal_plan *p, const struct pen_dataplane_config *cfg,
	const struct eal_machine *m, uint32_t huge_mb, uint32_t small_mb, char *err, size_t err_cap)
{
	bool enough = m->free_huge_mb >= huge_mb;

	if (cfg->hugepages == PEN_HUGEPAGES_YES && !enough) {
		snprintf(err, err_cap,
			"%u MB of hugepages are needed but %u MB are free: reserve %u in "
			"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
			huge_mb, m->free_huge_mb, (huge_mb + 1) / 2);
		return -ENOMEM;
	}
	p->hugepages = enough && cfg->hugepages != PEN_HUGEPAGES_NO;
	bool ok = plan_arg(p, plan_text(p, "-m")) &&
		  plan_arg(p, plan_text(p, "%u", p->hugepages ? huge_mb : small_mb));
	if (p->hugepages) {
		// No files and no shared state: nothing to clean up after a crash.
		ok = ok && plan_arg(p, plan_text(p, "--in-memory"));
	} else {
		ok = ok && plan_arg(p, plan_text(p, "--no-huge")) &&
		     plan_arg(p, plan_text(p, "--no-shconf")) &&
		     plan_arg(p, plan_text(p, "--iova-mode=va"));
		if (cfg->hugepages == PEN_HUGEPAGES_AUTO && m->free_huge_mb == 0)
			snprintf(p->note, sizeof(p->note),
				"no hugepages are free: running with --no-huge");
		else if (cfg->hugepages == PEN_HUGEPAGES_AUTO)
			snprintf(p->note, sizeof(p->note),
				"%u MB of hugepages are free, %u MB needed: running with --no-huge",
				m->free_huge_mb, huge_mb);
	}
	if (!ok)
		snprintf(err, err_cap, "too many EAL arguments");
	return ok ? 0 : -EINVAL;
}

bool eal_is_pci(const char *device)
{
	unsigned domain, bus, slot, function;
	int end = 0;

	if (sscanf(device, "%4x:%2x:%2x.%1u%n", &domain, &bus, &slot, &function, &end) != 4)
		return false;
	return device[end] == '\0' || device[end] == ',';
}

static bool plan_devices(struct eal_plan *p, const struct pen_dataplane_config *cfg)
{
	bool pci = false, ok = true;

	// Virtual devices are probed one by one after the start, so that an error
	// names the device.
	for (uint32_t i = 0; i < cfg->nports; i++) {
		const char *dev = cfg->port[i].device;
		if (!eal_is_pci(dev))
			continue;
		pci = true;
		ok = ok && plan_arg(p, plan_text(p, "-a")) && plan_arg(p, plan_text(p, "%s", dev));
	}
	return ok && (pci || plan_arg(p, plan_text(p, "--no-pci")));
}

int eal_plan_make(struct eal_plan *p, const struct pen_dataplane_config *cfg,
	const struct eal_machine *m, uint32_t huge_mb, uint32_t small_mb, char *err, size_t err_cap)
{
	int rc;

	*p = (struct eal_plan){0};
	plan_arg(p, plan_text(p, "penstock"));
	rc = plan_lcores(p, cfg, m, err, err_cap);
	if (rc != 0)
		return rc;
	if (cfg->memory_mb != 0)
		huge_mb = small_mb = cfg->memory_mb;
	rc = plan_memory(p, cfg, m, huge_mb, small_mb, err, err_cap);
	if (rc != 0)
		return rc;
	bool ok = plan_devices(p, cfg) && plan_arg(p, plan_text(p, "--no-telemetry"));
	if (cfg->file_prefix[0] != '\0')
		ok = ok && plan_arg(p, plan_text(p, "--file-prefix=%s", cfg->file_prefix));
	for (uint32_t i = 0; i < cfg->neal && i < PEN_EAL_OPTIONS_MAX; i++)
		ok = ok && plan_arg(p, plan_text(p, "%s", cfg->eal_option[i]));
	if (!ok)
		snprintf(err, err_cap, "too many EAL arguments");
	return ok ? 0 : -EINVAL;
}

// ---- start ----

// DPDK writes its log into this stream: the last complaint is kept, the rest
// is dropped. Interrupt and worker threads may write at any time, so the text
// is only as reliable as an explanation has to be.
static char last_message[256];
static FILE *log_stream;

static ssize_t log_write(void *cookie, const char *buf, size_t size)
{
	(void)cookie;
	size_t n = size;

	while (n > 0 && isspace((unsigned char)buf[n - 1]))
		n--;
	if (n > 0 && rte_log_cur_msg_loglevel() <= (int)RTE_LOG_ERR) {
		if (n >= sizeof(last_message))
			n = sizeof(last_message) - 1;
		memcpy(last_message, buf, n);
		last_message[n] = '\0';
	}
	return (ssize_t)size;
}

const char *eal_last_message(void)
{
	return last_message;
}

void eal_forget_message(void)
{
	last_message[0] = '\0';
}

static bool started;

int eal_start(struct eal_plan *p, char *err, size_t err_cap)
{
	cookie_io_functions_t io = {.write = log_write};

	if (started) {
		snprintf(err, err_cap, "the dataplane was started before in this process");
		return -EALREADY;
	}
	if (log_stream == NULL) {
		log_stream = fopencookie(NULL, "w", io);
		if (log_stream == NULL) {
			snprintf(err, err_cap, "out of memory");
			return -ENOMEM;
		}
		setvbuf(log_stream, NULL, _IOLBF, 1024);
		rte_openlog_stream(log_stream);
	}
	eal_forget_message();
	if (rte_eal_init(p->argc, p->argv) < 0) {
		fflush(log_stream);
		snprintf(err, err_cap, "DPDK did not start: %s%s%s", rte_strerror(rte_errno),
			last_message[0] != '\0' ? ": " : "", last_message);
		return -EIO;
	}
	started = true;
	return 0;
}

void eal_stop(void)
{
	if (started)
		rte_eal_cleanup();
}
