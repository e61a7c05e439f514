@echo off
rem Starts geomap on this computer: double-click this file.
rem The first time it makes an environment of its own in the folder .venv beside
rem this one; that takes a few minutes and needs the internet. Later it needs none.
setlocal
cd /d "%~dp0.."

rem Names with accents stay whole.
set PYTHONUTF8=1

if exist ".venv\Scripts\geomap.exe" goto run

rem A Python that geomap runs on, the newest first.
set PYTHON=
for %%V in (3.13 3.12 3.11) do (
  if not defined PYTHON py -%%V -c "import venv" >nul 2>nul && set PYTHON=py -%%V
)
if not defined PYTHON (
  echo geomap needs Python 3.11, 3.12 or 3.13, 64 bit, and found none.
  echo Install it from https://www.python.org/downloads/windows/ and start this file again.
  goto failed
)

echo Making the environment. This happens once and takes a few minutes.
%PYTHON% -m venv .venv || goto failed
".venv\Scripts\python.exe" -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r requirements.lock || goto failed
".venv\Scripts\python.exe" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation . || goto failed

:run
echo geomap is starting; the browser opens by itself. Close this window to stop it.
".venv\Scripts\geomap.exe" serve --open
if errorlevel 1 goto failed
exit /b 0

:failed
echo.
echo It did not work. What stands above says why.
pause
exit /b 1
