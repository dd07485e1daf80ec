// SPDX-License-Identifier: GPL-2.0

#include <linux/jiffies.h>
#include <linux/timer.h>

void rust_helper_timer_setup(struct timer_list *timer,
			     void (*func)(struct timer_list *))
{
	timer_setup(timer, func, 0);
}
