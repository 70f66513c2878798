"""What people, clients and a service manager are shown of the state."""
