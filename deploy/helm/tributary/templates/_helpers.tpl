{{- define "tributary.name" -}}
{{ .Values.name | default .Release.Name }}
{{- end }}

{{- define "tributary.labels" -}}
app.kubernetes.io/name: tributary
app.kubernetes.io/instance: {{ include "tributary.name" . }}
{{- end }}

{{/* Labels that every object has. */}}
{{- define "tributary.metadataLabels" -}}
{{ include "tributary.labels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "tributary.secret.learner" -}}
{{ .Values.secrets.learner | default (printf "%s-learner" (include "tributary.name" .)) }}
{{- end }}

{{- define "tributary.secret.actor" -}}
{{ .Values.secrets.actor | default (printf "%s-actor" (include "tributary.name" .)) }}
{{- end }}

{{- define "tributary.secret.control" -}}
{{ .Values.secrets.control | default (printf "%s-control" (include "tributary.name" .)) }}
{{- end }}

{{/* The restricted Pod Security Standard. */}}
{{- define "tributary.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "tributary.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* Where Pods go: called with learner or actor of the values. */}}
{{- define "tributary.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}
