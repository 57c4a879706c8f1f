{{- define "retention-signals.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* Pod names are instance names: at most 63 characters with the ordinal and the hash that a StatefulSet appends. */}}
{{- define "retention-signals.fullname" -}}
{{- $name := include "retention-signals.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "retention-signals.selectorLabels" -}}
app.kubernetes.io/name: {{ include "retention-signals.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The instances, without the pod of `helm test`. */}}
{{- define "retention-signals.instanceLabels" -}}
{{ include "retention-signals.selectorLabels" . }}
app.kubernetes.io/component: instance
{{- end -}}

{{- define "retention-signals.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "retention-signals.instanceLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "retention-signals.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "retention-signals.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "retention-signals.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "retention-signals.config" -}}
{{- required "config is not set: give the service's configuration in TOML, at least shop.currency and kafka.\"bootstrap.servers\"" .Values.config -}}
{{- end -}}

{{/* What every container of the program has: image, rights, settings. */}}
{{- define "retention-signals.container" -}}
image: {{ include "retention-signals.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  capabilities:
    drop: [ALL]
  privileged: false
  readOnlyRootFilesystem: true
env:
  - name: RETENTION_CONFIG
    value: /etc/retention-signals/retention-signals.toml
  # The pod's name stays the same over its restarts, and no other pod has it.
  - name: RETENTION_INSTANCE
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  - name: RETENTION_STATE_DIR
    value: /var/lib/retention-signals
  - name: RETENTION_HTTP__LISTEN
    value: 0.0.0.0:{{ .Values.http.port }}
  {{- range .Values.secrets.environment }}
  - name: {{ .name }}
    valueFrom:
      secretKeyRef:
        name: {{ .secretName }}
        key: {{ .secretKey }}
  {{- end }}
  {{- range .Values.environment }}
  - name: {{ .name }}
    value: {{ .value | quote }}
  {{- end }}
volumeMounts:
  - name: config
    mountPath: /etc/retention-signals/retention-signals.toml
    subPath: retention-signals.toml
    readOnly: true
  {{- range .Values.secrets.files }}
  - name: secret-{{ .secretName }}
    mountPath: /etc/retention-signals/secrets/{{ .secretName }}
    readOnly: true
  {{- end }}
{{- end -}}

{{- define "retention-signals.podSecurity" -}}
runAsNonRoot: true
# The user of the image, by number: a name cannot be checked.
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "retention-signals.volumes" -}}
- name: config
  configMap:
    name: {{ include "retention-signals.fullname" . }}
{{- range .Values.secrets.files }}
- name: secret-{{ .secretName }}
  secret:
    secretName: {{ .secretName }}
    defaultMode: 0440
{{- end }}
{{- end -}}
