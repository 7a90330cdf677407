# A network for one purpose: the functions reach Redis through it, and nothing else.

resource "google_compute_network" "this" {
  name                    = var.name
  auto_create_subnetworks = false
  depends_on              = [time_sleep.apis]
}

resource "google_compute_subnetwork" "functions" {
  #checkov:skip=CKV_GCP_26:All that flows here is TLS to Redis, and the firewall below denies the rest; flow logs would only cost.
  name                     = "${var.name}-functions"
  network                  = google_compute_network.this.id
  region                   = var.region
  ip_cidr_range            = var.subnet_cidr
  private_ip_google_access = true
  stack_type               = "IPV4_ONLY"
}

resource "google_compute_firewall" "allow_redis" {
  name               = "${var.name}-allow-redis"
  network            = google_compute_network.this.id
  description        = "The functions may open connections to Redis."
  direction          = "EGRESS"
  priority           = 1000
  destination_ranges = [for redis in google_redis_instance.this : "${redis.host}/32"]
  target_tags        = [local.network_tag]

  allow {
    protocol = "tcp"
    ports    = distinct([for redis in google_redis_instance.this : tostring(redis.port)])
  }
}

resource "google_compute_firewall" "deny_egress" {
  name               = "${var.name}-deny-egress"
  network            = google_compute_network.this.id
  description        = "Blocks everything but Redis: Gemini and Google's APIs are not reached through this network."
  direction          = "EGRESS"
  priority           = 65000
  destination_ranges = ["0.0.0.0/0"]
  target_tags        = [local.network_tag]

  deny {
    protocol = "all"
  }
}

locals {
  network_tag = "${var.name}-functions"
}
