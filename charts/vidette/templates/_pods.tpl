{{/* What the pods of several parts have in common. */}}

{{- define "vidette.podSecurity" -}}
{{ toYaml .Values.podSecurityContext }}
{{- end }}

{{- define "vidette.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "vidette.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* Where pods may run. Call with (dict "root" $ "component" "api" "part" $.Values.api). */}}
{{- define "vidette.placement" -}}
{{- with .part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "vidette.spread" -}}
topologySpreadConstraints:
{{- if .part.topologySpreadConstraints }}
  {{- toYaml .part.topologySpreadConstraints | nindent 2 }}
{{- else }}
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - topologyKey: {{ $key }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "vidette.selector" $ | nindent 8 }}
{{- end }}
{{- end }}
{{- end }}

{{/* The variables with credentials, and the URL of NATS, which may hold some. */}}
{{- define "vidette.databaseEnv" -}}
- name: VIDETTE_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ include "vidette.secretName" (dict "root" . "part" .Values.database "name" "database") }}
      key: {{ .Values.database.key }}
{{- end }}

{{- define "vidette.storeEnv" -}}
{{- $secret := include "vidette.secretName" (dict "root" . "part" .Values.store "name" "store") }}
- name: VIDETTE_STORE_ACCESS_KEY
  valueFrom:
    secretKeyRef:
      name: {{ $secret }}
      key: {{ .Values.store.accessKeyKey }}
- name: VIDETTE_STORE_SECRET_KEY
  valueFrom:
    secretKeyRef:
      name: {{ $secret }}
      key: {{ .Values.store.secretKeyKey }}
{{- end }}

{{- define "vidette.backingEnv" -}}
{{ include "vidette.databaseEnv" . }}
{{ include "vidette.storeEnv" . | trim }}
- name: VIDETTE_NATS_URL
{{- if and .Values.nats.url (not .Values.nats.existingSecret) }}
  value: {{ .Values.nats.url | quote }}
{{- else }}
  valueFrom:
    secretKeyRef:
      name: {{ include "vidette.secretName" (dict "root" . "part" .Values.nats "name" "nats.url, nats") }}
      key: {{ .Values.nats.key }}
{{- end }}
- name: VIDETTE_TOKEN_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ include "vidette.secretName" (dict "root" . "part" .Values.tokens "name" "tokens") }}
      key: {{ .Values.tokens.key }}
{{- end }}

{{/* Pods are made anew when what they read at their start has changed. */}}
{{- define "vidette.checksums" -}}
checksum/settings: {{ include (print .Template.BasePath "/settings.yaml") . | sha256sum }}
{{- end }}

{{/* The models, brought into the volume `models` before the pod's own container starts. */}}
{{- define "vidette.modelsInit" -}}
- name: models
  image: {{ include "vidette.image" (dict "root" . "service" "models" "override" .Values.models.image) }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args:
    - /models
    {{- if eq .Values.models.source "claim" }}
    - --from-folder=/source
    {{- else if eq .Values.models.source "s3" }}
    - --from-store={{ .Values.models.s3.prefix }}
    {{- end }}
    {{- if .Values.triton.tensorrt.enabled }}
    - --tensorrt={{ .Values.triton.tensorrt.precision }}
    {{- end }}
  {{- if eq .Values.models.source "s3" }}
  envFrom:
    - configMapRef:
        name: {{ include "vidette.fullname" . }}-settings
  {{- end }}
  {{- if or (eq .Values.models.source "s3") .Values.models.extraEnv }}
  env:
    {{- if eq .Values.models.source "s3" }}
    {{- include "vidette.storeEnv" . | trim | nindent 4 }}
    {{- end }}
    {{- with .Values.models.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
  securityContext:
    {{- include "vidette.containerSecurity" . | nindent 4 }}
  resources:
    {{- toYaml .Values.models.resources | nindent 4 }}
  volumeMounts:
    - name: models
      mountPath: /models
    {{- if eq .Values.models.source "claim" }}
    - name: source
      mountPath: /source
      readOnly: true
    {{- end }}
    - name: tmp
      mountPath: /tmp
    {{- with .Values.models.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "vidette.modelsVolumes" -}}
- name: models
  emptyDir:
    sizeLimit: {{ .Values.triton.modelsVolume }}
{{- if eq .Values.models.source "claim" }}
- name: source
  persistentVolumeClaim:
    claimName: {{ required "models.existingClaim: the claim with the model repository, since models.source is claim" .Values.models.existingClaim }}
    readOnly: true
{{- end }}
{{- end }}
