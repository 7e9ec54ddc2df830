"""What operators see: materialized views and their refresh, history, exposition of metrics, dashboards."""
