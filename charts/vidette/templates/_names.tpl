{{/* What things are called, and by which labels they are found. */}}

{{- define "vidette.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* Of all objects, and of the controller's release: everything found by label is found by this one. */}}
{{- define "vidette.fullname" -}}
{{- $name := include "vidette.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* Call with (dict "root" $ "component" "api"). They never change: selectors of a Deployment cannot. */}}
{{- define "vidette.selector" -}}
app.kubernetes.io/name: {{ include "vidette.name" .root }}
app.kubernetes.io/instance: {{ include "vidette.fullname" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "vidette.labels" -}}
{{ include "vidette.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: vidette
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Of pods that a new version of the chart shall not replace for its number alone: those of Triton take minutes to start. */}}
{{- define "vidette.podLabels" -}}
{{ include "vidette.selector" . }}
app.kubernetes.io/part-of: vidette
{{- with .root.Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The pods of the workers, which the controller makes and labels. */}}
{{- define "vidette.workerSelector" -}}
app.kubernetes.io/component: frame-worker
vidette.dev/release: {{ include "vidette.fullname" . }}
{{- end }}

{{/* Call with (dict "root" $ "service" "frame-worker" "override" $.Values.worker.image). */}}
{{- define "vidette.image" -}}
{{- if .override -}}
{{- .override -}}
{{- else -}}
{{- $image := .root.Values.image -}}
{{- printf "%s/vidette-%s:%s" $image.registry .service (default .root.Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end }}

{{/* Where this release's Triton is, for those who send it frames. */}}
{{- define "vidette.tritonAddress" -}}
{{- if .Values.triton.enabled -}}
{{- printf "dns:///%s-triton:8001" (include "vidette.fullname" .) -}}
{{- else -}}
{{- required "triton.external.address: where Triton is, since triton.enabled is false" .Values.triton.external.address -}}
{{- end -}}
{{- end }}

{{/* The Secret of a part: its own, or the one for all. Call with (dict "root" $ "part" $.Values.tokens "name" "tokens"). */}}
{{- define "vidette.secretName" -}}
{{- $found := default .root.Values.existingSecret .part.existingSecret -}}
{{- required (printf "%s.existingSecret, or existingSecret: the name of the Secret that holds its key (README.md tells how to make it)" .name) $found -}}
{{- end }}
