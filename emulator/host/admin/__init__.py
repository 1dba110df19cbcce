"""The admin API, /admin/…"""
