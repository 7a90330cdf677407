output "add_gemini_api_key" {
  description = "Adds a key as a new version of its secret: reads it from GEMINI_API_KEY. Empty in the mode vertex."
  value = var.gemini.mode == "vertex" ? "" : join(" ", [
    "printf %s \"$GEMINI_API_KEY\" |",
    "gcloud secrets versions add ${google_secret_manager_secret.this["GEMINI_API_KEY"].secret_id}",
    "--project=${var.project_id} --data-file=-",
  ])
}

output "curl" {
  description = "Redraws sketch.png in the current folder. One billed call, the second time a cached answer."
  value = join(" ", [
    "printf '{\"query\":\"mutation($i:ImproveSketchInput!){improveSketch(input:$i){result{title imageBase64} errors}}\",\"variables\":{\"i\":{\"pngBase64\":\"%s\"}}}'",
    "\"$(base64 < sketch.png | tr -d '\\n')\" |",
    "curl --silent --show-error --header 'Content-Type: application/json'${local.curl_token} --data-binary @- ${local.endpoint}",
  ])
}

output "curl_free" {
  description = "Asks for the status of a job that does not exist: proves function, network and Redis, and costs nothing."
  value       = "curl --silent --show-error --header 'Content-Type: application/json'${local.curl_token} --data '{\"query\":\"{improveSketchStatus(requestId:\\\"00000000-0000-4000-8000-000000000000\\\"){status}}\"}' ${local.endpoint}"
}

output "dead_letter_subscription" {
  description = "Where the jobs that were given up wait."
  value       = google_pubsub_subscription.dead_letters.id
}

output "endpoint" {
  description = "Address that the front end sends its GraphQL to."
  value       = local.endpoint
}

output "topic" {
  description = "Topic of the background jobs."
  value       = google_pubsub_topic.jobs.id
}

locals {
  endpoint   = "${google_cloudfunctions2_function.this["graphql"].service_config[0].uri}/graphql"
  curl_token = contains(var.graphql_invokers, "allUsers") ? "" : " --header \"Authorization: Bearer $(gcloud auth print-identity-token)\""
}
