// SPDX-License-Identifier: BSD-3-Clause

// penstock_sim: runs seeds, prints what was drawn and how long it took.

#include "sim.h"

#include "pen_err.h"
#include "pen_log.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const plants[SIM_PLANTS] = {
	"none", "early-250", "forget-result", "forget-doubt", "unstored-notice", "unsaved-state"};

static void say_nothing(
	void *ctx, const struct pen_log_type *type, enum pen_log_level level, const char *line)
{
	(void)ctx, (void)type, (void)level, (void)line;
}

static void usage(FILE *to)
{
	fprintf(to, "usage: penstock_sim [--first SEED] [--seeds N | --minutes N] [--seed SEED] "
		    "[--plant BUG] "
		    "[--verbose]\n"
		    "Runs the gateway in virtual time, once for each seed; a seed that fails is "
		    "printed, and\n"
		    "fails again with --seed. Default: 2000 seeds from 1. BUG is one of:");
	for (int i = 1; i < SIM_PLANTS; i++)
		fprintf(to, " %s", plants[i]);
	fputc('\n', to);
}

static enum sim_plant plant_named(const char *name)
{
	for (int i = 0; i < SIM_PLANTS; i++) {
		if (strcmp(name, plants[i]) == 0)
			return (enum sim_plant)i;
	}
	usage(stderr);
	exit(2);
}

static void report(const struct sim_faults *f, uint64_t seeds, pen_time_us took)
{
	printf("%" PRIu64 " seeds in %.1f s; drawn:\n", seeds, (double)took / PEN_US_PER_S);
#define SHOW(name) printf("  %-22s %" PRIu64 "\n", #name, f->name);
	SIM_FAULTS(SHOW)
#undef SHOW
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"first", 1, NULL, 'f'}, {"seeds", 1, NULL, 'n'},
		{"seed", 1, NULL, 's'}, {"minutes", 1, NULL, 'm'}, {"plant", 1, NULL, 'p'},
		{"verbose", 0, NULL, 'v'}, {"help", 0, NULL, 'h'}, {0}};
	uint64_t first = 1, seeds = 2000, done = 0;
	enum sim_plant plant = SIM_PLANT_NONE;
	pen_time_us limit = PEN_TIME_NEVER, started = pen_clock_mono();
	struct sim_faults faults = {0};
	bool verbose = false;

	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'f') {
			first = strtoull(optarg, NULL, 0);
		} else if (o == 'n') {
			seeds = strtoull(optarg, NULL, 0);
		} else if (o == 's') {
			first = strtoull(optarg, NULL, 0);
			seeds = 1;
		} else if (o == 'm') {
			limit = (pen_time_us)strtoull(optarg, NULL, 0) * 60 * PEN_US_PER_S;
			seeds = UINT64_MAX;
		} else if (o == 'p') {
			plant = plant_named(optarg);
		} else if (o == 'v') {
			verbose = true;
		} else {
			usage(o == 'h' ? stdout : stderr);
			return o == 'h' ? 0 : 2;
		}
	}
	if (!verbose)
		pen_log_set_sink(say_nothing, NULL);
	for (; done < seeds && pen_clock_mono() - started < limit; done++)
		sim_run(first + done, plant, &faults, verbose);
	report(&faults, done, pen_clock_mono() - started);
	if (plant != SIM_PLANT_NONE)
		printf("the bug that was put in was not found\n");
	return plant != SIM_PLANT_NONE;
}
