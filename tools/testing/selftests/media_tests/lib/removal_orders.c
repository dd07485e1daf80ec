// SPDX-License-Identifier: GPL-2.0-only
/*
 * The orders in which a driver, its modules and its files can go away.
 */

#include "removal_orders.h"

/* Which other modules have to go before one can. */
static const unsigned int users[MODULES] = {
	[M2M] = BIT(DRIVER),
	[V4L2] = BIT(DRIVER) | BIT(M2M),
	[ALLOCATOR] = BIT(DRIVER),
	[MEMOPS] = BIT(DRIVER) | BIT(ALLOCATOR),
	[COMMON] = BIT(DRIVER) | BIT(M2M) | BIT(V4L2) | BIT(ALLOCATOR) | BIT(MEMOPS),
};

/* Which steps are not possible as long as it is held. */
static unsigned int keeps(enum what what)
{
	switch (what) {
	case DMABUF:
	case MAPPING:
	case FRAMEBUFFER:
	case EVERYTHING:
		return BIT(ALLOCATOR);
	case NODE_MAPPING:
		return BIT(DRIVER);
	default:
		return 0;
	}
}

bool step_possible(unsigned int done, enum step step, enum what what)
{
	if (done & BIT(step) || keeps(what) & BIT(step))
		return false;
	switch (step) {
	case STOP:
		return !(done & (BIT(CLOSE) | BIT(UNBIND)));
	case FREE:
		return done & BIT(STOP) && !(done & (BIT(CLOSE) | BIT(UNBIND)));
	case UNBIND:
		return !(done & BIT(DRIVER));
	case CLOSE:
		return true;
	case DRIVER:
		return done & BIT(CLOSE);
	default:
		return (done & users[step]) == users[step];
	}
}

/* Adds all orders that begin like @order, with the steps of @done. */
static void generate(struct orders *orders, struct order *order, unsigned int done, enum what what)
{
	bool ends = done & BIT(CLOSE);
	unsigned int step;

	for (step = 0; step < MODULES; step++)
		ends &= !step_possible(done, step, what);
	if (ends && orders->count < MAX_ORDERS)
		orders->all[orders->count++] = *order;
	for (step = 0; step < STEPS; step++) {
		if (!step_possible(done, step, what))
			continue;
		order->steps[order->count++] = step;
		generate(orders, order, done | BIT(step), what);
		order->count--;
	}
}

void orders_generate(struct orders *orders, enum what what)
{
	struct order order = {};

	orders->count = 0;
	generate(orders, &order, 0, what);
}
