"""Kubernetes: Jobs for the launcher port, and how they are followed. Only `connection` knows the client library."""
