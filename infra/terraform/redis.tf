# Memorystore: results, jobs, flights and updates; or the results in an instance of their own.

locals {
  # Together, volatile-lru: results are read less often than leases and jobs, so they are evicted first, where
  # volatile-ttl would evict the short-lived leases. Apart, results may all go and state may never.
  redis = merge(
    {
      state = {
        high_availability = var.redis.high_availability
        maxmemory_policy  = var.results_redis == null ? "volatile-lru" : "noeviction"
        memory_gb         = var.redis.memory_gb
      }
    },
    var.results_redis == null ? {} : {
      results = {
        high_availability = var.results_redis.high_availability
        maxmemory_policy  = "allkeys-lru"
        memory_gb         = var.results_redis.memory_gb
      }
    },
  )

  # Memorystore's certificate has the address in its common name, where clients no longer look for it. The chain
  # is still checked, up to an authority that signs for this one instance.
  redis_urls = {
    for key, redis in google_redis_instance.this :
    key => "rediss://:${redis.auth_string}@${redis.host}:${redis.port}/0?ssl_check_hostname=false"
  }

  # Each instance has a certificate authority of its own, and two of them while one is being rotated.
  redis_ca_cert = join("\n", flatten([for redis in google_redis_instance.this : redis.server_ca_certs[*].cert]))
}

resource "google_redis_instance" "this" {
  for_each = local.redis

  name                    = "${var.name}-${each.key}"
  region                  = var.region
  tier                    = each.value.high_availability ? "STANDARD_HA" : "BASIC"
  memory_size_gb          = each.value.memory_gb
  redis_version           = "REDIS_7_2"
  redis_configs           = { maxmemory-policy = each.value.maxmemory_policy }
  authorized_network      = google_compute_network.this.id
  connect_mode            = "DIRECT_PEERING" # needs no service connection, whose deletion may take days
  auth_enabled            = true
  transit_encryption_mode = "SERVER_AUTHENTICATION"
  deletion_protection     = var.deletion_protection

  maintenance_policy {
    weekly_maintenance_window {
      day = var.redis.maintenance_day
      start_time {
        hours = var.redis.maintenance_hour_utc
      }
    }
  }

  depends_on = [time_sleep.apis]
}
