# One VM for each name. The resource is an example (here on libvirt): put your cloud's in its place. What counts is
# `for_each` over the names, so that one can go without the others being touched, and the output.

variable "hosts" {
  description = "The names of the hosts that there are to be. Written by make."
  type        = set(string)
}

variable "image" {
  description = "The image of a host: with the application, or for commands.deploy to put it there."
  type        = string
}

terraform {
  required_providers {
    libvirt = {
      source  = "dmacvicar/libvirt"
      version = "~> 0.8"
    }
  }
}

resource "libvirt_volume" "disk" {
  for_each = var.hosts
  name     = "${each.key}.qcow2"
  source   = var.image
}

resource "libvirt_domain" "host" {
  for_each = var.hosts
  name     = each.key
  memory   = 2048
  vcpu     = 2
  disk {
    volume_id = libvirt_volume.disk[each.key].id
  }
  network_interface {
    network_name   = "default"
    wait_for_lease = true
  }
}

output "hosts" {
  description = "Each host's address, by its name."
  value       = { for name, host in libvirt_domain.host : name => host.network_interface[0].addresses[0] }
}
