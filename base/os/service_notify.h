// SPDX-License-Identifier: Apache-2.0
/* Tells the service manager (systemd, Type=notify) what the program does, by a datagram to the socket that the variable
 * NOTIFY_SOCKET names; without it, nothing happens. Any thread; never waits.
 */
#ifndef BASE_OS_SERVICE_NOTIFY_H
#define BASE_OS_SERVICE_NOTIFY_H

void service_notify(const char *state); /* "READY=1", "STOPPING=1" */
void service_notify_reloading(void);    /* to be followed by READY=1 */

#endif
