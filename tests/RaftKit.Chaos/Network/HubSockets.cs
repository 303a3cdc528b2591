using System.Collections.Concurrent;
using System.ComponentModel;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace RaftKit.Chaos.Network;

/// <summary>
/// Makes sockets in another network namespace. A socket stays in the namespace of the thread that made it, whoever uses it: so one thread
/// goes there, and makes them.
/// </summary>
internal sealed partial class HubSockets : IDisposable
{
    private const int NetworkNamespace = 0x40000000; // CLONE_NEWNET

    private readonly BlockingCollection<TaskCompletionSource<Socket>> _orders = [];

    public HubSockets(string namespacePath)
    {
        using var entered = new ManualResetEventSlim();
        Exception? failure = null;
        new Thread(() =>
        {
            failure = Enter(namespacePath);
            entered.Set();
            if (failure is null)
                Work();
        })
        { IsBackground = true, Name = "Hub" }.Start();
        entered.Wait();
        if (failure is not null)
            throw failure;
    }

    public Task<Socket> MakeAsync()
    {
        var made = new TaskCompletionSource<Socket>(TaskCreationOptions.RunContinuationsAsynchronously);
        _orders.Add(made);
        return made.Task;
    }

    public void Dispose() => _orders.CompleteAdding();

    private void Work()
    {
        foreach (var made in _orders.GetConsumingEnumerable())
        {
            try
            {
                made.SetResult(new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true });
            }
            catch (SocketException failure)
            {
                made.SetException(failure);
            }
        }
    }

    private static CommandFailedException? Enter(string path)
    {
        using var handle = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        return SetNamespace(handle, NetworkNamespace) == 0
            ? null : new CommandFailedException($"setns to {path} failed: {new Win32Exception(Marshal.GetLastPInvokeError()).Message}");
    }

    [LibraryImport("libc", EntryPoint = "setns", SetLastError = true)]
    private static partial int SetNamespace(SafeHandle descriptor, int kind);
}
