variable "access" {
  description = <<-EOT
    Who may call the GraphQL function, in addition to Google's IAM. `mode`: required (callers bring an API key or a
    token) or off. `api_keys_version`: the version of the secret with the keys, latest or a number; with a number, a
    change of keys can be planned and rolled back. `jwt`: an issuer of tokens; docs/deploy.md has the values for
    Firebase, Supabase and Google.
  EOT
  type = object({
    api_keys_version = optional(string, "latest")
    jwt              = optional(object({ audience = string, issuer = string, jwks_url = string }))
    mode             = optional(string, "required")
  })
  default = {}

  validation {
    condition     = contains(["off", "required"], var.access.mode)
    error_message = "access.mode allows required or off."
  }
  validation {
    condition     = can(regex("^(latest|[1-9][0-9]*)$", var.access.api_keys_version))
    error_message = "access.api_keys_version allows latest or the number of a version."
  }
  validation {
    condition     = var.access.jwt == null || try(startswith(var.access.jwt.jwks_url, "https://") && var.access.jwt.issuer != "" && var.access.jwt.audience != "", false)
    error_message = "access.jwt needs an audience, an issuer and a jwks_url that starts with https://."
  }
}

variable "alert_emails" {
  description = "E-mail addresses that are alerted when something breaks, the day's budget is used up, or jobs wait (alerts.tf). Empty: no alerts."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for email in var.alert_emails : can(regex("^[^@ ]+@[^@ ]+$", email))])
    error_message = "alert_emails allows addresses such as team@example.com."
  }
}

variable "allow_unauthenticated_spending" {
  description = "Must be \"yes, anyone may spend our money\" if access.mode is off and graphql_invokers lets everybody in."
  type        = string
  default     = ""

  validation {
    condition     = var.access.mode != "off" || length(setintersection(var.graphql_invokers, ["allUsers", "allAuthenticatedUsers"])) == 0 || var.allow_unauthenticated_spending == "yes, anyone may spend our money"
    error_message = "allow_unauthenticated_spending needs to be \"yes, anyone may spend our money\" for access.mode = \"off\" on a public function, because each call costs money. It is better to keep access.mode = \"required\", or to name members in graphql_invokers."
  }
}

variable "api_keys" {
  description = "The first API keys, from TF_VAR_api_keys: a JSON list of the entries that `python -m cli keys new` prints. It is written to Secret Manager when the secret is created, and never to the state. Without it no API key is accepted until you add keys with the command in the output add_api_keys."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true

  validation {
    condition = var.api_keys == null || try(startswith(trimspace(var.api_keys), "[") && alltrue([
      for key in jsondecode(var.api_keys) :
      can(regex("^[a-z0-9][a-z0-9._-]{0,62}$", key.name)) && can(regex("^[0-9a-f]{64}$", key.sha256)) &&
      length(setsubtract(keys(key), ["calls_per_day", "concurrent_jobs", "dollars_per_day", "expires", "name", "requests_per_minute", "sha256"])) == 0
    ]), false)
    error_message = "api_keys allows a JSON list of the entries that `python -m cli keys new` prints: [{\"name\": \"my-app\", \"sha256\": \"…\"}], including the brackets of the list."
  }
  validation {
    condition = var.api_keys == null || try(alltrue(flatten([
      for key in jsondecode(var.api_keys) : [
        for field, value in key :
        value == null ? true : field == "expires" ? can(formatdate("YYYY", "${value}T00:00:00Z")) : try(value >= (field == "requests_per_minute" ? 1 : 0) && (field == "dollars_per_day" || floor(value) == value), false)
        if !contains(["name", "sha256"], field)
      ]
    ])), true)
    error_message = "api_keys allows dates such as 2027-01-31 as expires, and whole numbers as limits: requests_per_minute from 1, the others from 0, dollars_per_day also with decimals."
  }
  validation {
    condition     = var.api_keys == null || try(length(distinct(jsondecode(var.api_keys)[*].sha256)) == length(jsondecode(var.api_keys)), true)
    error_message = "api_keys allows each sha256 only once."
  }
}

variable "archive" {
  description = "A bucket that keeps every drawing, also when Redis has dropped it, so that none is paid for twice; null: no bucket. keep_days: after how many days a drawing is deleted; 0: never."
  type = object({
    keep_days = optional(number, 0)
  })
  default = null

  validation {
    condition     = try(var.archive.keep_days >= 0 && floor(var.archive.keep_days) == var.archive.keep_days, var.archive == null)
    error_message = "archive.keep_days allows a whole number of days; 0 keeps drawings for ever."
  }
  validation {
    condition     = var.archive == null || var.cache_enabled
    error_message = "archive needs cache_enabled = true, because it serves what the cache no longer has."
  }
}

variable "background_enabled" {
  description = "Whether async requests are accepted. If not, they are answered MISCONFIGURED, and jobs that are already queued are still done."
  type        = bool
  default     = true
}

variable "budget" {
  description = <<-EOT
    Ceilings for the calls to Gemini in one UTC day, in number and in US dollars: of all callers together (`daily_`)
    and of each caller (`principal_daily_`). Once one is reached, only kept drawings are served until midnight UTC. The
    word unlimited removes a ceiling. Prices are in `settings`.
  EOT
  type = object({
    daily_calls             = optional(string, "500")
    daily_dollars           = optional(string, "50")
    principal_daily_calls   = optional(string, "100")
    principal_daily_dollars = optional(string, "10")
  })
  default = {}

  validation {
    condition     = alltrue([for ceiling in [var.budget.daily_calls, var.budget.principal_daily_calls] : can(regex("^([0-9]{1,9}|unlimited)$", ceiling))])
    error_message = "budget allows whole numbers of calls, or the word unlimited."
  }
  validation {
    condition     = alltrue([for ceiling in [var.budget.daily_dollars, var.budget.principal_daily_dollars] : can(regex("^([0-9]{1,6}([.][0-9]+)?|unlimited)$", ceiling))])
    error_message = "budget allows dollars such as 50 or 0.5, or the word unlimited."
  }
}

variable "bundle_dir" {
  description = "Folder of graphql.zip and worker.zip, relative to this folder; `make bundle` writes both."
  type        = string
  default     = "build"
}

variable "cache_enabled" {
  description = "Whether results are kept. If not, each request is a billed call, LOCAL_ALLOWANCE_PER_MINUTE (see settings) limits the calls per instance, and background_enabled must be false, too."
  type        = bool
  default     = true

  validation {
    condition     = var.cache_enabled || !var.background_enabled
    error_message = "cache_enabled = false needs background_enabled = false, because a background job hands over its result in the cache."
  }
  validation {
    condition     = var.cache_enabled || var.results_redis == null
    error_message = "cache_enabled = false needs results_redis = null, because there would be nothing to store in it."
  }
}

variable "cors_origins" {
  description = "Exact origins of the pages that may call, such as https://draw.example."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for origin in var.cors_origins : can(regex("^https?://([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?$", origin))])
    error_message = "cors_origins allows exact origins: a scheme, a host and optionally a port, without path or wildcard (https://draw.example)."
  }
}

variable "deletion_protection" {
  description = "Whether Terraform refuses to destroy Redis, the secrets, and an archive that holds drawings. Apply it as false before `make destroy`, and before a change that removes one of these."
  type        = bool
  default     = true
}

variable "gemini" {
  description = <<-EOT
    How Gemini is called. `mode`: api (key of the Gemini API), express (key of Vertex express) or vertex (no key: the
    functions' own accounts). `location` is used by vertex. `api_key_version`: the version of the secret that the
    functions read, latest or a number; with a number, a change of the key can be planned and rolled back.
  EOT
  type = object({
    api_key_version = optional(string, "latest")
    location        = optional(string, "global")
    mode            = optional(string, "api")
  })
  default = {}

  validation {
    condition     = contains(["api", "express", "vertex"], var.gemini.mode)
    error_message = "gemini.mode allows api, express or vertex."
  }
  validation {
    condition     = can(regex("^(latest|[1-9][0-9]*)$", var.gemini.api_key_version))
    error_message = "gemini.api_key_version allows latest or the number of a version."
  }
  validation {
    condition     = can(regex("^(global|[a-z]+-[a-z]+[0-9]+)$", var.gemini.location))
    error_message = "gemini.location allows global or a region such as europe-west4."
  }
}

variable "gemini_api_key" {
  description = "The first key, from TF_VAR_gemini_api_key. It is written to Secret Manager when the secret is created, and never to the state. Without it, add a key with the command in the output add_gemini_api_key."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = var.gemini_api_key == null || can(regex("^\\s*[!-~]*\\s*$", var.gemini_api_key))
    error_message = "gemini_api_key allows one word of visible ASCII characters. Was the key copied completely, and without a line break inside it?"
  }
}

variable "graphql" {
  description = "Size of the GraphQL function. Its memory determines MAX_IN_FLIGHT (250 with 1 GiB); at most max_instances times MAX_IN_FLIGHT calls can be billed at once."
  type = object({
    concurrency   = optional(number, 250) # as many calls as fit into 1 GiB; a watched stream holds a place too
    cpu           = optional(number, 1)
    max_instances = optional(number, 10)
    memory_mb     = optional(number, 1024)
    min_instances = optional(number, 0)
  })
  default = {}

  validation {
    condition     = var.graphql.concurrency >= 1 && var.graphql.concurrency <= 1000 && floor(var.graphql.concurrency) == var.graphql.concurrency
    error_message = "graphql.concurrency allows 1 to 1000 requests at once per instance."
  }
  validation {
    condition     = contains([1, 2, 4, 8], var.graphql.cpu)
    error_message = "graphql.cpu allows 1, 2, 4 or 8, because with less than one CPU an instance cannot serve several requests at once."
  }
  validation {
    condition     = var.graphql.memory_mb >= (var.graphql.cpu < 4 ? 512 : 512 * var.graphql.cpu) && var.graphql.memory_mb <= 4096 * var.graphql.cpu # as Cloud Run has it
    error_message = "graphql.memory_mb allows 512 to 4096 with a cpu of 1, 512 to 8192 with 2, 2048 to 16384 with 4, and 4096 to 32768 with 8."
  }
  validation {
    condition     = var.graphql.min_instances >= 0 && var.graphql.min_instances <= var.graphql.max_instances && var.graphql.max_instances >= 1 && var.graphql.max_instances <= 100
    error_message = "graphql allows max_instances from 1 to 100, and min_instances from 0 to max_instances."
  }
}

variable "graphql_invokers" {
  description = "Which IAM members may call the GraphQL function. The default is everybody, which browsers need; other members make it private."
  type        = set(string)
  default     = ["allUsers"]

  validation {
    condition     = alltrue([for member in var.graphql_invokers : can(regex("^(allUsers|allAuthenticatedUsers|(user|group|serviceAccount):[^:@\\s]+@[^:@\\s]+|domain:[^:@\\s]+)$", member))])
    error_message = "graphql_invokers allows allUsers, allAuthenticatedUsers, and user:, group:, serviceAccount: or domain: members."
  }
}

variable "labels" {
  description = "Labels for all resources that can have them, in addition to app and managed_by."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key, value in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", key)) && can(regex("^[a-z0-9_-]{0,63}$", value))])
    error_message = "labels allows keys and values of at most 63 lower-case letters, digits, _ and -, keys beginning with a letter."
  }
}

variable "limits" {
  description = "Limits of one caller: requests in a minute (a cached answer counts as a tenth), and unfinished background jobs. The word unlimited removes a limit."
  type = object({
    concurrent_jobs     = optional(string, "20")
    requests_per_minute = optional(string, "60")
  })
  default = {}

  validation {
    condition     = alltrue([for limit in values(var.limits) : can(regex("^([0-9]{1,9}|unlimited)$", limit))])
    error_message = "limits allows whole numbers, or the word unlimited."
  }
}

variable "name" {
  description = "Prefix of the names of all resources; with another prefix you get a second deployment in the same project."
  type        = string
  default     = "improve-sketch"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}[a-z0-9]$", var.name))
    error_message = "name allows 3 to 22 lower-case letters, digits and -, beginning with a letter and not ending in -."
  }
}

variable "project_id" {
  description = "Google Cloud project to deploy into."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id allows a project's id: 6 to 30 lower-case letters, digits and -, beginning with a letter (not its number or title)."
  }
}

variable "redis" {
  description = "The Redis that holds the state, and the results unless results_redis is set. The maintenance window is one hour long, in UTC, and applies to both."
  type = object({
    high_availability    = optional(bool, false)
    maintenance_day      = optional(string, "SUNDAY")
    maintenance_hour_utc = optional(number, 3)
    memory_gb            = optional(number, 1)
  })
  default = {}

  validation {
    condition     = contains(["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"], var.redis.maintenance_day)
    error_message = "redis.maintenance_day allows MONDAY to SUNDAY, in capitals."
  }
  validation {
    condition     = contains(range(24), var.redis.maintenance_hour_utc)
    error_message = "redis.maintenance_hour_utc allows 0 to 23."
  }
  validation {
    condition     = contains(range(1, 301), var.redis.memory_gb)
    error_message = "redis.memory_gb allows 1 to 300."
  }
}

variable "region" {
  description = "Region of everything, such as europe-west4."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region allows the name of a region (europe-west4), not of a zone (europe-west4-a)."
  }
}

variable "results_redis" {
  description = "A second Redis for the results alone, so that no burst of pictures can evict a job; null: one Redis holds both."
  type = object({
    high_availability = optional(bool, false)
    memory_gb         = optional(number, 5)
  })
  default = null

  validation {
    condition     = try(contains(range(1, 301), var.results_redis.memory_gb), var.results_redis == null)
    error_message = "results_redis.memory_gb allows 1 to 300."
  }
}

variable "settings" {
  description = "Settings of the functions that differ from their defaults (docs/reference.md), such as { LOG_LEVEL = \"DEBUG\" }. With TRUSTED_PROXIES above 1 the GraphQL function can be reached only through a Google load balancer, not at its own address."
  type        = map(string)
  default     = {}

  validation {
    condition = length(setsubtract(keys(var.settings), [
      "ARCHIVE_ENDPOINT",
      "CALL_DOLLARS",
      "GEMINI_BASE_URL",
      "GEMINI_MODEL",
      "GEMINI_TIMEOUT_S",
      "HEARTBEAT_MS",
      "INPUT_DOLLARS_PER_MILLION",
      "INTROSPECTION",
      "JOB_MAX_AGE_S",
      "LEASE_MS",
      "LOCAL_ALLOWANCE_PER_MINUTE",
      "LOG_LEVEL",
      "MAX_ATTEMPTS",
      "MAX_IN_FLIGHT",
      "MAX_PNG_BYTES",
      "OUTPUT_DOLLARS_PER_MILLION",
      "PUBLIC_URL",
      "PUBLISH_TIMEOUT_S",
      "PUBSUB_URL",
      "SYNC_DEADLINE_S",
      "TRUSTED_PROXIES",
      "WORK_DEADLINE_S",
    ])) == 0
    error_message = "settings allows ARCHIVE_ENDPOINT, CALL_DOLLARS, GEMINI_BASE_URL, GEMINI_MODEL, GEMINI_TIMEOUT_S, HEARTBEAT_MS, INPUT_DOLLARS_PER_MILLION, INTROSPECTION, JOB_MAX_AGE_S, LEASE_MS, LOCAL_ALLOWANCE_PER_MINUTE, LOG_LEVEL, MAX_ATTEMPTS, MAX_IN_FLIGHT, MAX_PNG_BYTES, OUTPUT_DOLLARS_PER_MILLION, PUBLIC_URL, PUBLISH_TIMEOUT_S, PUBSUB_URL, SYNC_DEADLINE_S, TRUSTED_PROXIES and WORK_DEADLINE_S; all others have variables of their own."
  }
  validation {
    condition     = try(tonumber(lookup(var.settings, "WORK_DEADLINE_S", "180")) <= 220, false)
    error_message = "settings allows a WORK_DEADLINE_S of at most 220: the worker is stopped after 240 s, and needs some time before that to settle its job."
  }
  validation {
    condition     = try(tonumber(lookup(var.settings, "SYNC_DEADLINE_S", "150")) <= 580, false)
    error_message = "settings allows a SYNC_DEADLINE_S of at most 580: the GraphQL function is stopped after 600 s."
  }
  validation {
    condition     = try(tonumber(lookup(var.settings, "MAX_PNG_BYTES", "5242880")) <= 6700000, false)
    error_message = "settings allows a MAX_PNG_BYTES of at most 6700000: together with the longest svg and hints, a larger sketch does not fit into a message."
  }
  validation {
    condition     = length(var.alert_emails) == 0 || lookup(var.settings, "LOG_LEVEL", "INFO") != "ERROR"
    error_message = "settings allows a LOG_LEVEL of ERROR only where alert_emails is empty: most alerts are triggered by lines that are logged as WARNING."
  }
}

variable "subnet_cidr" {
  description = "IP addresses for the functions' instances. Cloud Run takes about two per instance, and more while a revision is replaced."
  type        = string
  default     = "10.8.0.0/24"

  validation {
    condition     = can(cidrhost(var.subnet_cidr, 0)) && try(tonumber(split("/", var.subnet_cidr)[1]) <= 26, false)
    error_message = "subnet_cidr allows an IPv4 range of at least 64 addresses (10.8.0.0/26)."
  }
}

variable "worker" {
  description = "Size of the worker. At most max_instances times concurrency background calls can be billed at once."
  type = object({
    concurrency   = optional(number, 64) # at 20 s a call and 0.07 to 0.3 s to convert its JPEG, a quarter to all of one CPU
    cpu           = optional(number, 1)
    max_instances = optional(number, 10)
    memory_mb     = optional(number, 1024)
    min_instances = optional(number, 0)
  })
  default = {}

  validation {
    condition     = var.worker.concurrency >= 1 && var.worker.concurrency <= 1000 && floor(var.worker.concurrency) == var.worker.concurrency
    error_message = "worker.concurrency allows 1 to 1000 jobs at once per instance."
  }
  validation {
    condition     = contains([1, 2, 4, 8], var.worker.cpu)
    error_message = "worker.cpu allows 1, 2, 4 or 8, because with less than one CPU an instance cannot do several jobs at once."
  }
  validation {
    condition     = var.worker.memory_mb >= (var.worker.cpu < 4 ? 512 : 512 * var.worker.cpu) && var.worker.memory_mb <= 4096 * var.worker.cpu # as Cloud Run has it
    error_message = "worker.memory_mb allows 512 to 4096 with a cpu of 1, 512 to 8192 with 2, 2048 to 16384 with 4, and 4096 to 32768 with 8."
  }
  validation {
    condition     = var.worker.min_instances >= 0 && var.worker.min_instances <= var.worker.max_instances && var.worker.max_instances >= 1 && var.worker.max_instances <= 100
    error_message = "worker allows max_instances from 1 to 100, and min_instances from 0 to max_instances."
  }
}
