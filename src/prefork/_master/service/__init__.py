"""What a service manager such as systemd is sent: readiness, reloads, the watchdog, and the state in words."""
