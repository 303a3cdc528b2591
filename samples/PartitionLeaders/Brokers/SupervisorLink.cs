using System.Runtime.InteropServices;
using System.Threading.Channels;
using Microsoft.Extensions.Hosting;
using PartitionLeaders.Reports;

namespace PartitionLeaders.Brokers;

/// <summary>
/// Makes this process live exactly as long as its supervisor wants: it stops when told so, or when the supervisor is gone. Ctrl-C, which a
/// terminal sends to both, is the supervisor's business.
/// </summary>
internal sealed partial class SupervisorLink(IHostApplicationLifetime application) : IHostLifetime, IDisposable
{
    private const int SetParentDeathSignal = 1;
    private const int Kill = 9;

    private readonly Channel<string> _commands = Channel.CreateUnbounded<string>();
    private PosixSignalRegistration? _interrupt;
    private PosixSignalRegistration? _terminate;

    /// <summary>What the supervisor wants, but for <see cref="BrokerCommands.Stop"/>.</summary>
    public ChannelReader<string> Commands => _commands.Reader;

    public Task WaitForStartAsync(CancellationToken cancellationToken)
    {
        // A broker that is frozen when its supervisor is killed cannot notice the end of its input.
        if (OperatingSystem.IsLinux())
            _ = ProcessControl(SetParentDeathSignal, Kill, 0, 0, 0);
        _interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, signal => signal.Cancel = true);
        _terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal =>
        {
            signal.Cancel = true;
            application.StopApplication();
        });
        new Thread(ReadCommands) { IsBackground = true, Name = "Commands" }.Start();
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void Dispose()
    {
        _interrupt?.Dispose();
        _terminate?.Dispose();
    }

    private void ReadCommands()
    {
        while (Console.In.ReadLine() is { } command and not BrokerCommands.Stop)
            _commands.Writer.TryWrite(command);
        application.StopApplication();
    }

    [LibraryImport("libc", EntryPoint = "prctl")]
    private static partial int ProcessControl(int option, nuint argument2, nuint argument3, nuint argument4, nuint argument5);
}
