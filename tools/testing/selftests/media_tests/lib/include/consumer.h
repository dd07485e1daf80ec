/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What consumers hold of a job's buffers and fences. What returns an int returns a negative error
 * if it fails.
 */
#ifndef MEDIA_TESTS_CONSUMER_H
#define MEDIA_TESTS_CONSUMER_H

#include <sys/ioctl.h>

#include "jobs.h"

enum held_part { HELD_FENCES, HELD_MERGED, HELD_DMABUFS, HELD_FRAMEBUFFER, HELD_PARTS };

/**
 * struct held - of one job
 * @fences: of picture and input
 * @merged: both of them, SYNC_IOC_MERGE
 * @picture: another descriptor of the picture's dma-buf, and a mapping
 * @input: of the input's
 * @card: a display
 * @framebuffer: the picture, as a framebuffer of @card; 0 if it has none
 * @ended: what the fences said when they were seen to have ended; 0 before
 */
struct held {
	struct fences fences;
	int merged;
	struct m2m_buffer picture;
	struct m2m_buffer input;
	int card;
	__u32 framebuffer;
	int ended[2];
};

void held_init(struct held *held);
/* Takes all of it of the job in slot @slot, which runs. */
int held_take(struct held *held, struct jobs *jobs, unsigned int slot);
/* Lets a part go. */
void held_drop(struct held *held, enum held_part part);

/*
 * Uses all that is held in every way that user space has. NULL, or what was wrong. With @must_end,
 * the fences have to have ended; once ended, they have to stay as they are.
 */
const char *held_use(struct held *held, bool must_end);

/* The node of a DRM driver, by its name. */
int open_card(const char *driver);

#endif
