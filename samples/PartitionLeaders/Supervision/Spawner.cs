using System.Collections.Concurrent;
using System.Diagnostics;

namespace PartitionLeaders.Supervision;

/// <summary>
/// Starts processes from one thread that lives as long as the supervisor. A broker asks Linux to be killed when its parent ends (so that
/// none survives a killed supervisor), and by "parent" Linux means the thread that started it.
/// </summary>
internal sealed class Spawner : IDisposable
{
    private readonly BlockingCollection<(ProcessStartInfo Info, TaskCompletionSource<Process> Started)> _orders = [];

    public Spawner() => new Thread(Work) { IsBackground = true, Name = "Spawner" }.Start();

    public Process Start(ProcessStartInfo info)
    {
        var started = new TaskCompletionSource<Process>();
        _orders.Add((info, started));
        return started.Task.GetAwaiter().GetResult();
    }

    public void Dispose() => _orders.CompleteAdding();

    private void Work()
    {
        foreach (var (info, started) in _orders.GetConsumingEnumerable())
        {
            try
            {
                started.SetResult(Process.Start(info)!);
            }
            catch (Exception e)
            {
                started.SetException(e);
            }
        }
    }
}
