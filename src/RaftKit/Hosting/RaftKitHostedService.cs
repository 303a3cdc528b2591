using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace RaftKit.Hosting;

/// <summary>
/// Starts the member before the application's hosted services and stops it after them, so that they can use it from their first to their
/// last line. A start that fails (the directory is in use, the port is taken, the data is rotten) fails the host's start, where the
/// operator sees it; a node that fails later leaves the host running and shows in logs and health checks.
/// </summary>
internal sealed class RaftKitHostedService(RaftKitHost host, ILogger logger) : IHostedLifecycleService
{
    public Task StartingAsync(CancellationToken cancellationToken) => host.StartAsync(cancellationToken);

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async Task StoppedAsync(CancellationToken cancellationToken)
    {
        try
        {
            await host.StopAsync(cancellationToken);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // The other services of the host still have to be stopped and disposed.
            RaftKitLog.StopFailed(logger, host.Options.Member, host.Key ?? "", e);
        }
    }
}
